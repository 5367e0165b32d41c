from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch.autograd import gradcheck

from acclimate.losses import Domain, domain_loss

DOMAINS: list[Domain] = ["source", "target"]


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_vanilla_by_hand() -> None:
    """Source is 0: -log(1 - sigmoid(x)) = softplus(x); target is 1: -log sigmoid(x) = softplus(-x)."""
    prediction = torch.tensor([2.0, -1.0], dtype=torch.float64).view(1, 1, 1, 2)
    assert math.isclose(domain_loss(prediction, "source").item(), (softplus(2) + softplus(-1)) / 2)
    assert math.isclose(domain_loss(prediction, "target").item(), (softplus(-2) + softplus(1)) / 2)


def test_least_squares_by_hand() -> None:
    prediction = torch.tensor([2.0, -1.0], dtype=torch.float64).view(1, 1, 1, 2)
    assert domain_loss(prediction, "source", kind="least-squares").item() == (4 + 1) / 2
    assert domain_loss(prediction, "target", kind="least-squares").item() == (1 + 4) / 2


def test_swapping_the_domain_labels_mirrors_the_loss() -> None:
    prediction = torch.randn(2, 1, 3, 4, dtype=torch.float64)
    assert torch.isclose(domain_loss(prediction, "source"), domain_loss(-prediction, "target"))


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("kind", ["vanilla", "least-squares"])
def test_gradient(domain: Domain, kind: Literal["vanilla", "least-squares"]) -> None:
    torch.manual_seed(0)
    prediction = torch.randn(2, 1, 3, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: domain_loss(x, domain, kind=kind), (prediction,))


def test_enormous_and_half_precision_predictions() -> None:
    prediction = torch.tensor([1e4, -1e4], dtype=torch.bfloat16).view(1, 1, 1, 2).requires_grad_()
    loss = domain_loss(prediction, "source")
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isclose(loss.item(), prediction.detach().float().max().item() / 2)
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
