from __future__ import annotations

import pytest
import torch
from toy import ToyNetwork

from acclimate.methods.optimizers import OptimizerSettings, discriminator_optimizer, network_optimizer
from acclimate.training.schedule import poly, set_learning_rates


def test_poly_at_the_published_stops() -> None:
    """What is left of the learning rate where AdaptSegNet and ADVENT stop: 0.438, 0.555, 0.669 and 0.707."""
    left = {150_000: 0.438, 120_000: 0.555, 90_000: 0.669, 80_000: 0.707}
    for step, factor in left.items():
        assert poly(step, steps=250_000) == pytest.approx(factor, abs=5e-4)
    assert poly(120_000, steps=250_000) == pytest.approx(0.52**0.9, rel=1e-12)


def test_poly_begins_at_one_and_ends_at_zero() -> None:
    assert poly(0, steps=10) == 1.0
    assert poly(10, steps=10) == 0.0
    assert poly(11, steps=10) == 0.0
    assert poly(5, steps=10, power=1.0) == 0.5
    assert poly(9, steps=10, power=0.0) == 1.0


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
