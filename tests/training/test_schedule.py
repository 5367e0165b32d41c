from __future__ import annotations

import pytest
import torch
from toy import ToyNetwork

from acclimate.methods.optimizers import OptimizerSettings, discriminator_optimizer, network_optimizer
from acclimate.training.schedule import Schedule, set_learning_rates


def test_poly_at_the_published_stops() -> None:
    """What is left of the learning rate where AdaptSegNet and ADVENT stop: 0.438, 0.555, 0.669 and 0.707."""
    published = Schedule(horizon=250_000)
    left = {150_000: 0.438, 120_000: 0.555, 90_000: 0.669, 80_000: 0.707}
    for step, factor in left.items():
        assert published.factor(step, steps=150_000) == pytest.approx(factor, abs=5e-4)
    assert published.factor(120_000, steps=7) == pytest.approx(0.52**0.9, rel=1e-12)


def test_poly_begins_at_one_and_ends_at_zero() -> None:
    assert [Schedule().factor(step, steps=10) for step in (0, 10, 11)] == [1.0, 0.0, 0.0]
    assert Schedule(power=1.0).factor(5, steps=10) == 0.5
    assert Schedule(kind="constant").factor(9, steps=10) == 1.0


def test_linear_holds_then_falls_as_cyclegan_does() -> None:
    factors = [Schedule(kind="linear", hold=0.5).factor(step, steps=8) for step in range(9)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_cosine_is_half_way_in_the_middle() -> None:
    factors = [Schedule(kind="cosine").factor(step, steps=4) for step in range(5)]
    assert factors == pytest.approx([1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0])


def test_steps_divide_by_ten() -> None:
    schedule = Schedule(kind="steps", milestones=(3, 5))
    assert [schedule.factor(step, steps=9) for step in (2, 3, 5)] == pytest.approx([1.0, 0.1, 0.01])


def test_warm_up_rises_in_equal_steps_from_its_start() -> None:
    """DAFormer: from a millionth of the rate, then linearly down."""
    schedule = Schedule(kind="constant", warmup_steps=4, warmup_factor=0.2)
    assert [schedule.factor(step, steps=9) for step in range(5)] == pytest.approx([0.4, 0.6, 0.8, 1.0, 1.0])


def test_rates_of_the_groups() -> None:
    """Heads learn at ten times the body's rate, and the schedule acts on every group and optimiser alike."""
    network = network_optimizer(ToyNetwork(), OptimizerSettings(learning_rate=0.01))
    discriminators = discriminator_optimizer([torch.nn.Linear(2, 2)], OptimizerSettings())
    set_learning_rates([network, discriminators], 0.25)
    assert [group["lr"] for group in network.param_groups] == pytest.approx([0.0025, 0.025])
    assert discriminators.param_groups[0]["lr"] == pytest.approx(0.25e-4)
    set_learning_rates([network, discriminators], 0.5)  # of the starting rate, not of the present one
    assert [group["lr"] for group in network.param_groups] == pytest.approx([0.005, 0.05])


def test_published_optimisers() -> None:
    settings = OptimizerSettings()
    network = network_optimizer(ToyNetwork(), settings)
    assert isinstance(network, torch.optim.SGD)
    for group, rate in zip(network.param_groups, (2.5e-4, 2.5e-3), strict=True):
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (pytest.approx(rate), 0.9, 5e-4)
        assert not group["nesterov"]
    discriminators = discriminator_optimizer([torch.nn.Linear(2, 2)], settings).param_groups[0]
    assert (discriminators["lr"], discriminators["betas"], discriminators["weight_decay"]) == (1e-4, (0.9, 0.99), 0)


def test_adamw_keeps_the_groups() -> None:
    optimizer = network_optimizer(ToyNetwork(), OptimizerSettings(kind="adamw", learning_rate=0.01, weight_decay=0.1))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.01, 0.1), (0.1, 0.1)]
