"""The terms of CycleGAN and BDL, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from acclimate.losses.translation import (
    colour_distance,
    least_squares_gan,
    normalised_channels,
    perceptual_distance,
    picture_distance,
)


def test_picture_distance_is_the_mean_absolute_difference() -> None:
    first = torch.tensor([0.0, 1.0, -1.0]).view(1, 3, 1, 1)
    second = torch.tensor([0.5, -1.0, -1.0]).view(1, 3, 1, 1)
    assert float(picture_distance(first, second)) == pytest.approx((0.5 + 2 + 0) / 3)


def test_least_squares_gan() -> None:
    scores = torch.tensor([[[[0.5, 2.0]]]])
    assert float(least_squares_gan(scores, real=True)) == pytest.approx((0.25 + 1) / 2)
    assert float(least_squares_gan(scores, real=False)) == pytest.approx((0.25 + 4) / 2)


def test_perceptual_distance_by_hand() -> None:
    # channel 0 normalised is (-1, 1) against (1, -1); channel 1 is the same up to scale and shift
    first = torch.tensor([[[[0.0, 2.0]], [[5.0, 9.0]]]], dtype=torch.double)
    second = torch.tensor([[[[30.0, 10.0]], [[-1.0, 1.0]]]], dtype=torch.double)
    assert float(perceptual_distance(first, second)) == pytest.approx((4 + 4 + 0 + 0) / 4, abs=1e-4)


def test_normalised_channels_are_instance_norm() -> None:
    logits = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(normalised_channels(logits), functional.instance_norm(logits), atol=1e-5)


def test_a_constant_channel_is_no_division_by_zero() -> None:
    logits = torch.ones(1, 1, 3, 3, requires_grad=True)
    perceptual_distance(logits, torch.randn(1, 1, 3, 3)).backward()
    assert logits.grad is not None
    assert math.isfinite(float(logits.grad.sum()))


def test_half_precision_is_compared_in_float32() -> None:
    first = torch.full((1, 3, 2, 2), 1.0, dtype=torch.bfloat16)
    assert picture_distance(first, first + 0.01).dtype == torch.float32
    assert least_squares_gan(first, real=True).dtype == torch.float32


def test_colour_distance_by_hand() -> None:
    """Levels 0 and 2 (mean 1, deviation 1) against 3 and 3 (3, 0), in one of three channels: (2 + 1) / 3."""
    first, second = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    first[0, 1, 0], second[0, 1, 0] = torch.tensor([0.0, 2.0]), torch.tensor([3.0, 3.0])
    assert float(colour_distance(first, second)) == pytest.approx(1.0)
    turned = first.flip(3)
    assert float(colour_distance(first, turned)) == 0.0, "where in the picture does not matter"
