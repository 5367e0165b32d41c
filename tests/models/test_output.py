"""Outputs in levels, and the modes of a network."""

from __future__ import annotations

import torch

from acclimate.models import Level, Output, Region, evaluation_mode


def test_the_main_level_is_the_one_to_evaluate() -> None:
    main, other = Level(torch.zeros(1, 2, 3, 4), torch.ones(1, 5, 3, 4)), Level(torch.ones(1, 2, 3, 4))
    output = Output({"main": main, "detail": other})
    assert output.logits is main.logits
    assert output.features is main.features
    changed = output.with_logits(lambda level: level.logits + 1)
    assert changed.logits.unique().tolist() == [1]
    assert changed.levels["detail"].logits.unique().tolist() == [2]
    assert changed.features is main.features


def test_a_region_is_a_rectangle_of_rows_and_columns() -> None:
    maps = torch.arange(24).view(1, 4, 6)
    region = Region(top=1, left=2, height=2, width=3)
    assert region.of(maps).tolist() == [[[8, 9, 10], [14, 15, 16]]]
    logits = torch.zeros(1, 2, 2, 3)
    assert Level(logits, region=region).size_within((4, 6)) == (2, 3)
    assert Level(logits).size_within((4, 6)) == (4, 6)


def test_each_module_gets_its_own_mode_back() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout())
    other = torch.nn.Dropout().eval()
    network[0].eval()
    with evaluation_mode(network, other):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, False, True]
    assert not other.training
