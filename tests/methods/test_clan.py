"""CLAN: its weights by hand, and steps before and after all pixels weigh the same, against slow implementations."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from slow_step import assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor
from toy import STEPS, ToyNetwork, make_method

from acclimate.data.sample import Batch
from acclimate.errors import UserError
from acclimate.losses import focal_loss, prediction_discrepancy
from acclimate.methods.clan import Clan, ClanOptions
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.models.twin_heads import TwinHead


def test_discrepancy_by_hand() -> None:
    """p1 = (0.5, 0.5), p2 = (1, 0): cos = 1 / sqrt 2; equal predictions do not differ."""
    first = torch.zeros(1, 2, 1, 2, dtype=torch.float64)
    second = torch.tensor([[50.0, 0.0], [0.0, 0.0]], dtype=torch.float64).view(1, 2, 1, 2)
    found = prediction_discrepancy(first, second)
    assert found.flatten().tolist() == pytest.approx([1 - 2**-0.5, 0.0], abs=1e-12)


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([[0.9, 0.2], [0.1, 0.8]], dtype=torch.float64).log().view(1, 2, 1, 2)
    labels = torch.tensor([[[0, 0]]])
    p = torch.tensor([0.9, 0.2], dtype=torch.float64)
    assert torch.allclose(focal_loss(logits, labels, gamma=2.0), ((1 - p) ** 2 * -p.log()).mean())
    assert torch.allclose(focal_loss(logits, labels, gamma=0.0), cross_entropy(logits, labels))
    assert focal_loss(logits, torch.full_like(labels, 255), gamma=2.0).item() == 0.0


def slow_focal(logits: Tensor, labels: Tensor) -> Tensor:
    each, right = rows(probabilities(logits)), labels.reshape(-1)
    p = each[right != 255][torch.arange(int((right != 255).sum())), right[right != 255]]
    return ((1 - p) ** 2 * -torch.log(p)).mean()


def slow_adversary(score: Tensor, domain: float, weights: Tensor | None) -> Tensor:
    probability = 1 / (1 + torch.exp(-large(score)))
    each = -(domain * torch.log(probability) + (1 - domain) * torch.log(1 - probability))
    return (each if weights is None else weights * each).mean()


def heads_of(network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    network(images)
    first, second = network.head.taken_parts()
    return large(first), large(second)


def slow_weights(first: Tensor, second: Tensor) -> Tensor:
    p, q = probabilities(first), probabilities(second)
    cosine = (p * q).sum(dim=1) / ((p**2).sum(dim=1).sqrt() * (q**2).sum(dim=1).sqrt())
    return (0.4 + 7.0 * (1 - cosine)).unsqueeze(1)


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("step", [0, 4])
def test_a_step_equals_a_slow_implementation(step: int, detached: bool) -> None:
    source, target = pair(step)
    options = {"adversarial_weight": 0.5, "head_weight": 0.3, "local_weight": 7.0, "detach_discrepancy": detached}
    method = make("clan", even_share=0.05, **options)
    assert isinstance(method, Clan)
    discriminator = copy.deepcopy(method.discriminator)
    left = 1 - step / STEPS

    def loss(network: Any) -> Tensor:
        first, second = heads_of(network, source.images)
        total = slow_focal(first, source.labels) + slow_focal(second, source.labels)  # type: ignore[arg-type]
        first, second = heads_of(network, target.images)
        weights = slow_weights(first, second) if step > 0 else None
        if weights is not None and detached:
            weights = weights.detach()
        judged = discriminator(probabilities(first + second))
        total = total + 0.5 * left * slow_adversary(judged, 0.0, weights)
        both = network.head.first, network.head.second
        w, v = (torch.cat([p.reshape(-1) for p in head.parameters()]) for head in both)
        return total + 0.3 * left * (1 + w @ v / (w.norm() * v.norm()))

    assert_one_step(method, source, target, loss, step=step)


def test_the_discriminators_step_equals_a_slow_implementation() -> None:
    source, target = pair(4)
    method = make("clan", local_weight=7.0)
    assert isinstance(method, Clan)
    alone, discriminator = copy.deepcopy(method.network), copy.deepcopy(method.discriminator)
    for terms in method.losses(source, target, 4):
        torch.stack([term.weight * term.value for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        (s1, s2), (t1, t2) = heads_of(alone, source.images), heads_of(alone, target.images)
        weights = slow_weights(t1, t2)
    loss = slow_adversary(discriminator(probabilities(s1 + s2)), 0.0, None)
    loss = loss + slow_adversary(discriminator(probabilities(t1 + t2)), 1.0, weights)
    expected = torch.autograd.grad(loss, list(discriminator.parameters()))
    for parameter, gradient in zip(method.discriminator.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, rtol=0, atol=1e-12)


def test_a_network_of_one_head_is_refused() -> None:
    setting = make_method("source_only").setting
    with pytest.raises(UserError, match=r"set network\.twin_heads=true"):
        Clan(ToyNetwork(), options=ClanOptions(), setting=setting)


@pytest.mark.parametrize("config", [{"name": "small"}, {"name": "mobilenet-v3plus", "weights": None}])
def test_twin_heads_begin_alike_differ_and_are_added(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig.model_validate({**config, "twin_heads": True}), 4)
    head = network.heads()[-1]
    assert isinstance(head, TwinHead)
    for first, second in zip(head.first.parameters(), head.second.parameters(), strict=True):
        assert torch.equal(first.flatten().sort().values, second.flatten().sort().values)
    assert not torch.equal(*head.parameter_vectors())
    output = network(torch.rand(2, 3, 64, 64))
    first, second = head.taken_parts()
    height, width = output.logits.shape[-2:]
    assert torch.equal(output.logits, (first + second)[..., :height, :width])
    held = {id(p) for group in network.parameter_groups() for p in group.params if group.name.startswith("heads")}
    assert {id(p) for p in head.parameters() if p.requires_grad} <= held


def test_void_and_batches_of_several_images() -> None:
    """The published map of weights is for one image alone; here each image has its own."""
    source, target = pair(4, count=3)
    source = Batch(source.images, torch.full_like(source.labels, 255), source.names)  # type: ignore[arg-type]
    values = [term.value for terms in make("clan").losses(source, target, 4) for term in terms.values()]
    assert all(torch.isfinite(value) for value in values)
