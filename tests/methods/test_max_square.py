"""MaxSquare: its loss by hand and by pixel, the guidance of two levels, one step against a slow implementation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from slow_step import CLASSES, assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor

from acclimate.losses import max_square_loss
from acclimate.methods.max_square import agreed_labels


def slow(logits: Tensor, *, q: float | None, divide_by_classes: bool = True) -> Tensor:
    """Image by image and pixel by pixel."""
    total = torch.zeros((), dtype=torch.float64)
    for image in probabilities(logits):
        pixels = rows(image[None])
        predicted = [int(p.argmax()) for p in pixels]
        for p, c in zip(pixels, predicted, strict=True):
            if q is None:
                weight = 0.5 / len(pixels)
            else:
                weight = 1 / max(1.0, predicted.count(c) ** q * len(pixels) ** (1 - q))
            total = total - weight * (p * p).sum()
    return total / len(logits) / (logits.shape[1] if divide_by_classes else 1)


def test_two_pixels_by_hand() -> None:
    """p = (0.9, 0.1) and (0.5, 0.5): -(0.82 + 0.5) / (2 pixels x 2 classes x 2)."""
    logits = torch.tensor([[0.9, 0.5], [0.1, 0.5]], dtype=torch.float64).log().view(1, 2, 1, 2)
    assert max_square_loss(logits).item() == pytest.approx(-1.32 / 8)
    assert max_square_loss(logits, over="pixels").item() == pytest.approx(-1.32 / 4)


@pytest.mark.parametrize("q", [None, 0.0, 0.2, 1.0])
def test_images_are_weighted_each_by_their_own_counts(q: float | None) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(3, 3, 6, 5, dtype=torch.float64)  # as many images as classes, which the code confuses
    logits[0, 1] += 4
    logits.requires_grad_()
    (found,) = torch.autograd.grad(max_square_loss(logits, image_weights=q), logits)
    (expected,) = torch.autograd.grad(slow(logits, q=q), logits)
    assert max_square_loss(logits, image_weights=q).item() == pytest.approx(slow(logits, q=q).item(), rel=1e-6)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-12)


def test_labels_both_levels_agree_on() -> None:
    def logits(*pixels: list[float]) -> Tensor:
        return torch.tensor(pixels).T.log()[None, :, None]

    first = logits([0.97, 0.02, 0.01], [0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3])
    second = logits([0.1, 0.8, 0.1], [0.01, 0.96, 0.03], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8])
    # sure by the first; by the second, whose class the mean has; by neither, twice
    assert agreed_labels(first, second, threshold=0.95)[0, 0].tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize("multi_level", [False, True])
@pytest.mark.parametrize("q", [None, 0.2])
def test_a_step_equals_a_slow_implementation(q: float | None, multi_level: bool) -> None:
    source, target = pair(count=1)
    options = {"max_square_weight": 0.8, "guidance_weight": 0.3, "guidance_threshold": 0.4}
    method = make("max_square", multi_level=multi_level, image_weights=q, **options)

    def loss(network: Any) -> Tensor:
        levels = {name: large(level.logits) for name, level in network(source.images).levels.items()}
        total = cross_entropy(levels["main"], source.labels)  # type: ignore[arg-type]
        if multi_level:
            total = total + 0.1 * cross_entropy(levels["auxiliary"], source.labels)  # type: ignore[arg-type]
        levels = {name: large(level.logits) for name, level in network(target.images).levels.items()}
        total = total + 0.8 * slow(levels["main"], q=q)
        if multi_level:
            ours, theirs = probabilities(levels["main"]).detach(), probabilities(levels["auxiliary"]).detach()
            labels = (ours / 2 + theirs / 2).argmax(dim=1)
            labels[(ours.amax(dim=1) <= 0.4) & (theirs.amax(dim=1) <= 0.4)] = 255
            assert 0 < (labels == 255).double().mean() < 1
            total = total + 0.3 * cross_entropy(levels["auxiliary"], labels)
        return total

    assert CLASSES == 3
    assert_one_step(method, source, target, loss)
