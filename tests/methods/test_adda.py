"""ADDA: three steps in one, by hand, and the gate that the discriminator's accuracy opens."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from slow_step import DECAY, HEADS, RATE, cross_entropy, large, make, pair
from torch import Tensor

from acclimate.methods.adda import Adda
from acclimate.training.loop import train_step

OPTIONS: dict[str, Any] = {"adversarial_weight": 0.7, "discriminator_width": 8, "discriminator_dropout": 0.0}


class Momentum:
    """SGD by hand."""

    def __init__(self, module: Any) -> None:
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.momenta: dict[str, Tensor] = {}

    def step(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            change = gradient + DECAY * parameter.detach()
            self.momenta[name] = change + 0.9 * self.momenta[name] if name in self.momenta else change
            parameter.data -= RATE * (HEADS if "head" in name else 1.0) * self.momenta[name]


def pixelwise(answer: Tensor, domain: int) -> Tensor:
    """-log of the probability of a domain, one number a place."""
    powers = torch.exp(answer)
    return -torch.log(powers[:, domain] / powers.sum(dim=1)).flatten()


def test_the_three_steps_equal_those_by_hand() -> None:
    source, target = pair()
    method = make("adda", **OPTIONS)
    assert isinstance(method, Adda)
    network: Any = copy.deepcopy(method.network)
    discriminator: Any = copy.deepcopy(method.discriminator)
    train_step(method, source, target, 0, fabric=Fabric(accelerator="cpu", devices=1, precision="64-true"))

    ours, theirs = Momentum(network), Momentum(discriminator)
    with torch.no_grad():
        scores = network(source.images).logits, network(target.images).logits
    both = [pixelwise(discriminator(scores[0]), 1), pixelwise(discriminator(scores[1]), 0)]
    theirs.step(torch.cat(both).mean())
    ours.step(0.7 * pixelwise(discriminator(network(target.images).logits), 1).mean())
    ours.step(cross_entropy(large(network(source.images).logits), source.labels))  # type: ignore[arg-type]
    for module, expected in ((method.network, ours.parameters), (method.discriminator, theirs.parameters)):
        for name, value in module.named_parameters():
            if name in expected:
                assert torch.allclose(value, expected[name], rtol=0, atol=1e-10), name


def test_the_network_waits_until_the_discriminator_is_right_often_enough() -> None:
    source, target = pair(3)
    method = make("adda", accuracy_window=2, **OPTIONS)
    assert isinstance(method, Adda)
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    for accuracies, trained in (([0.5, 0.65], False), ([0.6, 0.7], True)):
        method.get_buffer("accuracies").copy_(torch.tensor(accuracies))
        before = copy.deepcopy(dict(method.network.named_parameters()))
        judged = copy.deepcopy(method.discriminator.classifier.weight)
        terms = train_step(method, source, target, 3, fabric=fabric)
        assert ("adversarial" in terms) == trained
        moved = any(not torch.equal(p, before[name]) for name, p in method.network.named_parameters())
        assert moved == trained
        assert not torch.equal(method.discriminator.classifier.weight, judged)
        assert method.get_buffer("accuracies")[1].item() == pytest.approx(terms["discriminator accuracy"].value.item())
