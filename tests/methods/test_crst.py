"""CRST: regularisers and soft labels by hand, the authors' selection, one step against a slow implementation."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from slow_step import CLASSES, assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor
from toy import make_method

from acclimate.losses.confidence_regularisers import confidence_regulariser, soft_labels
from acclimate.methods.base import Setting
from acclimate.methods.crst import Crst, CrstOptions

TAU = torch.tensor([0.8, 0.5, 0.6], dtype=torch.float64)


def test_regularisers_by_hand() -> None:
    p = [0.7, 0.2, 0.1]
    logits = torch.tensor([p, [1 / 3] * 3], dtype=torch.float64).log().T[None, :, None]
    labels = torch.tensor([[[0, 255]]])  # the second pixel has no label
    expected = {
        "kld": -sum(math.log(x) for x in p) / 3,
        "entropy": sum(x * math.log(x) for x in p),
        "l2": sum(x * x for x in p),
    }
    for kind, value in expected.items():
        assert confidence_regulariser(logits, labels, kind=kind).item() == pytest.approx(value)  # type: ignore[arg-type]
        void = torch.full_like(labels, 255)
        assert confidence_regulariser(logits, void, kind=kind).item() == 0.0  # type: ignore[arg-type]


def test_the_minimum_of_a_regularised_label_is_a_smoothed_one() -> None:
    """MRKLD: the best p for a label y is (y + alpha / C) / (1 + alpha)."""
    alpha = 0.1
    best = (torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) + alpha / 3) / (1 + alpha)
    logits = best.log().view(1, 3, 1, 1).requires_grad_()
    label = torch.zeros(1, 1, 1, dtype=torch.long)
    loss = cross_entropy(logits, label) + alpha * confidence_regulariser(logits, label, kind="kld")
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.abs().max() < 1e-12


def test_soft_labels_are_kept_as_the_published_inequality_says() -> None:
    """Cross-entropy less alpha times the entropy of the best label, against the cost of no label at all."""
    torch.manual_seed(0)
    alpha, logits = 0.25, 2 * torch.randn(1, 3, 20, 20, dtype=torch.float64)
    labels, kept = soft_labels(logits, TAU, softness=alpha)
    for p, y, keep in zip(rows(probabilities(logits)), rows(labels), kept.flatten(), strict=True):
        expected = (p / TAU) ** (1 / alpha)
        assert torch.allclose(y, expected / expected.sum())
        ours = -(y * p.log()).sum() + alpha * (y * y.log()).sum()
        assert bool(keep) == bool(ours < -(y * TAU.log()).sum())
    assert 0 < kept.double().mean() < 1


def test_without_softness_left_they_are_cbsts_decision() -> None:
    torch.manual_seed(1)
    logits = 2 * torch.randn(1, 3, 30, 30, dtype=torch.float64)
    labels, kept = soft_labels(logits, TAU, softness=1e-4)
    ratio = probabilities(logits) / TAU.view(1, 3, 1, 1)
    assert torch.equal(kept, ratio.amax(dim=1) > 1)
    assert torch.allclose(labels.amax(dim=1)[kept], torch.ones((), dtype=torch.float64), atol=1e-3)
    assert torch.equal(labels.argmax(dim=1), ratio.argmax(dim=1))


@pytest.mark.parametrize("kind", ["kld", "entropy", "l2"])
def test_a_step_equals_a_slow_implementation(kind: str) -> None:
    source, target = pair(labels=True)
    assert target.labels is not None

    def loss(network: Any) -> Tensor:
        total = cross_entropy(large(network(source.images).logits), source.labels)  # type: ignore[arg-type]
        logits = large(network(target.images).logits)
        total = total + cross_entropy(logits, target.labels)  # type: ignore[arg-type]
        valid = rows(probabilities(logits))[target.labels.reshape(-1) != 255]  # type: ignore[union-attr]
        each = {
            "kld": -valid.log().sum(dim=1) / CLASSES,
            "entropy": (valid * valid.log()).sum(dim=1),
            "l2": (valid**2).sum(dim=1),
        }
        return total + 0.4 * each[kind].mean()

    assert_one_step(make("crst", regulariser=kind, regulariser_weight=0.4), source, target, loss)


def test_a_step_on_soft_labels_equals_a_slow_implementation() -> None:
    source, target = pair(labels=True)
    plain = make("crst")
    setting = Setting(plain.setting.optimizer, class_thresholds=torch.tensor([0.42, 0.46, 0.49]))
    options = CrstOptions(regulariser="none", softness=0.25, pseudo_label_weight=0.7)
    method = Crst(plain.network, options=options, setting=setting).double()
    labelling = copy.deepcopy(plain.network).eval()

    def loss(network: Any) -> Tensor:
        total = cross_entropy(large(network(source.images).logits), source.labels)  # type: ignore[arg-type]
        with torch.no_grad():
            said = rows(probabilities(large(labelling(target.images).logits)))
        ours, costs = rows(probabilities(large(network(target.images).logits))), []
        for p, q in zip(ours, said, strict=True):
            powers = (q / setting.class_thresholds) ** 4
            if powers.sum() > 1:
                costs.append(-(powers / powers.sum() * p.log()).sum())
        assert 0 < len(costs) < len(said)
        return total + 0.7 * torch.stack(costs).mean()

    assert_one_step(method, source, target, loss)


def test_the_labelling_network_stays_as_it_was_and_is_in_no_checkpoint() -> None:
    method = make_method("crst", softness=0.25)
    assert not any("labelling" in key for key in method.state_dict())
    assert not any(parameter.requires_grad for parameter in method.references["labelling"].parameters())
