"""PyCDA: its labels by hand, and its two steps in one against a slow implementation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from slow_step import DECAY, HEADS, RATE, assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor

from acclimate.losses import class_balance_loss
from acclimate.methods.pycda import own_label_loss
from acclimate.training.loop import train_step

RATIOS = torch.tensor([0.5, 0.3, 0.2]).double()


def test_only_what_is_surer_than_the_threshold_is_learned() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.45, 0.3, 0.25], [0.1, 0.1, 0.8]], dtype=torch.float64)
    logits = p.log().T[None, :, None]
    loss, share = own_label_loss([logits], threshold=0.5)
    assert loss.item() == pytest.approx(-(torch.tensor([0.7, 0.8]).log().mean().item()))
    assert share.item() == pytest.approx(2 / 3)
    loss, share = own_label_loss([logits, logits[..., :1]], threshold=0.5)
    assert loss.item() == pytest.approx(-(torch.tensor([0.7, 0.8, 0.7]).log().mean().item()))
    assert share.item() == pytest.approx(3 / 4)
    assert own_label_loss([logits], threshold=0.9)[0].item() == 0.0


def test_the_balance_by_hand() -> None:
    logits = torch.tensor([[0.6, 0.4], [0.2, 0.8]], dtype=torch.float64).log().view(2, 2, 1, 1)  # together (0.4, 0.6)
    found = class_balance_loss(logits, torch.tensor([0.25, 0.75]))
    each = [
        -(0.25 * torch.tensor(0.4).log() + 0.75 * torch.tensor(0.6).log()),
        -(0.75 * torch.tensor(0.6).log() + 0.25 * torch.tensor(0.4).log()),
    ]
    assert found.item() == pytest.approx(sum(float(x) for x in each) / 2, abs=1e-5)


def target_loss(network: Any, target: Any) -> Tensor:
    logits = large(network(target.images).logits)
    p = rows(probabilities(logits))
    sure = p.amax(dim=1) > 0.38
    assert 0 < sure.double().mean() < 1
    total = 0.5 * -p.amax(dim=1)[sure].log().mean()
    boxes = []
    for size in (4, 8):
        for image in logits:
            for top in range(0, image.shape[1] - size + 1, size):
                for left in range(0, image.shape[2] - size + 1, size):
                    mean = image[:, top : top + size, left : left + size].mean(dim=(1, 2))
                    best = probabilities(mean.view(1, -1, 1, 1)).flatten().max()
                    if best > 0.38:
                        boxes.append(-best.log())
    total = total + 0.7 * torch.stack(boxes).mean()
    mean = p.mean(dim=0)
    balance = -(RATIOS * (mean + 1e-6).log() + (1 - RATIOS) * (1 - mean + 1e-6).log())
    return total + 0.9 * balance.mean()


OPTIONS: dict[str, Any] = {"pixel_weight": 0.5, "box_weight": 0.7, "balance_weight": 0.9, "threshold": 0.38}


def test_one_step_on_both_equals_a_slow_implementation() -> None:
    source, target = pair()

    def loss(network: Any) -> Tensor:
        supervised = cross_entropy(large(network(source.images).logits), source.labels)  # type: ignore[arg-type]
        return supervised + target_loss(network, target)

    method = make("pycda", step_between=False, **OPTIONS)
    assert_one_step(method, source, target, loss)


def test_the_published_step_between_the_domains() -> None:
    """Two steps of SGD by hand: on the source's loss, then on the target's at the new weights."""
    source, target = pair()
    method = make("pycda", **OPTIONS)
    alone: Any = copy.deepcopy(method.network)
    train_step(method, source, target, 0, fabric=Fabric(accelerator="cpu", devices=1, precision="64-true"))
    parameters = {name: p for name, p in alone.named_parameters() if p.requires_grad}
    momenta: dict[str, Tensor] = {}
    for domain in ("source", "target"):
        if domain == "source":
            loss = cross_entropy(large(alone(source.images).logits), source.labels)  # type: ignore[arg-type]
        else:
            loss = target_loss(alone, target)
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            change = gradient + DECAY * parameter.detach()
            momenta[name] = change + 0.9 * momenta[name] if name in momenta else change
            parameter.data -= RATE * (HEADS if "head" in name else 1.0) * momenta[name]
    for name, value in method.network.named_parameters():
        if name in parameters:
            assert torch.allclose(value, parameters[name], rtol=0, atol=1e-10), name
