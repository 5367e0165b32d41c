"""Fused optimisers step as plain ones do, whatever the memory layout of gradients and moments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import ToyNetwork

from acclimate.methods.optimizers import (
    OptimizerSettings,
    discriminator_optimizer,
    lay_out_moments,
    make_ready,
    network_optimizer,
)


class Convolutions(nn.Module):
    """Two of them, in the channels-last layout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)
        self.to(memory_format=torch.channels_last)


def plain_sgd(value: Tensor, gradients: list[Tensor | None], *, rate: float, decay: float) -> Tensor:
    """Momentum 0.9, one number after the other, in float64."""
    value, velocity = value.double(), torch.zeros_like(value, dtype=torch.float64)
    for gradient in gradients:
        if gradient is not None:
            velocity = 0.9 * velocity + gradient.double() + decay * value
            value = value - rate * velocity
    return value


def plain_adam(value: Tensor, gradients: list[Tensor], *, rate: float, betas: tuple[float, float]) -> Tensor:
    value = value.double()
    mean, square = torch.zeros_like(value), torch.zeros_like(value)
    for number, gradient in enumerate(gradients, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient.double()
        square = betas[1] * square + (1 - betas[1]) * gradient.double() ** 2
        corrected = (square / (1 - betas[1] ** number)).sqrt() + 1e-8
        value = value - rate * (mean / (1 - betas[0] ** number)) / corrected
    return value


def random_like(value: Tensor, seed: int) -> Tensor:
    """Contiguous, whatever the layout of ``value``."""
    return torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))


def test_sgd_steps_the_right_weights_in_any_layout_and_from_any_step_on() -> None:
    network: Any = ToyNetwork().to(memory_format=torch.channels_last)
    optimizer = network_optimizer(network, OptimizerSettings(learning_rate=0.1, weight_decay=0.01))
    assert all(group["fused"] for group in optimizer.param_groups)
    before = {name: value.detach().clone() for name, value in network.named_parameters() if value.requires_grad}
    given: dict[str, list[Tensor | None]] = {name: [] for name in before}
    for step in range(3):
        for number, (name, value) in enumerate(network.named_parameters()):
            if name in before:
                value.grad = None if name == "stem.weight" and step == 0 else random_like(value, 10 * step + number)
                given[name].append(None if value.grad is None else value.grad.clone())
        make_ready(optimizer)
        optimizer.step()
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, value in network.named_parameters():
        if name in before:
            expected = plain_sgd(before[name], given[name], rate=rates[id(value)], decay=0.01)
            assert torch.allclose(value.double(), expected, rtol=0, atol=1e-5), name
            assert not torch.equal(value, before[name])


def test_adam_goes_on_from_moments_of_another_layout() -> None:
    network = Convolutions()
    optimizer = discriminator_optimizer([network], OptimizerSettings(discriminator_learning_rate=0.01))
    before = [value.detach().clone() for value in network.parameters()]
    gradients = [[random_like(value, step) for step in range(2)] for value in before]
    for step in range(2):
        for value, mine in zip(network.parameters(), gradients, strict=True):
            value.grad = mine[step]
        make_ready(optimizer)
        optimizer.step()
        state = optimizer.state_dict()
        for moments in state["state"].values():  # as a checkpoint of a contiguous network holds them
            moments.update({key: value.contiguous() for key, value in moments.items()})
        optimizer.load_state_dict(state)
        lay_out_moments(optimizer)
    for value, start, mine in zip(network.parameters(), before, gradients, strict=True):
        expected = plain_adam(start, mine, rate=0.01, betas=(0.9, 0.99))
        assert torch.allclose(value.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_layouts_that_agree_are_left_alone(kind: str) -> None:
    network = ToyNetwork()
    optimizer = network_optimizer(network, OptimizerSettings.model_validate({"kind": kind}))
    for value in network.parameters():
        value.grad = torch.ones_like(value)
    grads = [value.grad for value in network.parameters()]
    make_ready(optimizer)
    assert all(value.grad is grad for value, grad in zip(network.parameters(), grads, strict=True))
