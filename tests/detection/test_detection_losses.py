"""Entropies, stacking and padding against values worked out by hand and slow loops."""

from __future__ import annotations

import math

import pytest
import torch

from acclimate.detection.losses import (
    MapShape,
    box_entropy,
    box_entropy_loss,
    box_self_information,
    per_class_self_information,
    stacked_maps,
)

QUARTERS = torch.tensor([[[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]]], dtype=torch.float64).log()


def test_box_entropy_by_hand() -> None:
    # -(0.5 ln 0.5 + 2 * 0.25 ln 0.25) / ln 3 = 1.5 ln 2 / ln 3; a uniform distribution has entropy 1
    expected = torch.tensor([[1.5 * math.log(2) / math.log(3), 1.0]], dtype=torch.float64)
    torch.testing.assert_close(box_entropy(box_self_information(QUARTERS)), expected)
    by_class = box_self_information(QUARTERS)[0, 0]
    half = 0.5 * math.log(2) / math.log(3)
    torch.testing.assert_close(by_class, torch.tensor([half, half, half], dtype=torch.float64))


def test_without_the_background_the_distribution_is_over_things_alone() -> None:
    information = box_self_information(QUARTERS, background=False)
    torch.testing.assert_close(box_entropy(information), torch.ones(1, 2, dtype=torch.float64))
    assert information.shape == (1, 2, 2)


def test_sum_is_over_anchors_and_mean_over_images() -> None:
    information = box_self_information(torch.cat([QUARTERS, QUARTERS.flip(1)]))
    total = 1 + 1.5 * math.log(2) / math.log(3)
    assert box_entropy_loss(information, reduction="sum").item() == pytest.approx(total)
    assert box_entropy_loss(information, reduction="mean").item() == pytest.approx(total / 2)


def test_entropy_falls_along_its_negative_gradient_and_stays_finite_when_certain() -> None:
    logits = torch.tensor([[[80.0, -80.0, 0.0], [0.3, 0.1, 0.0]]], requires_grad=True)
    loss = box_entropy_loss(box_self_information(logits))
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    with torch.no_grad():
        assert box_entropy_loss(box_self_information(logits - 0.1 * logits.grad)) < loss


def test_sigmoids_entropy_is_the_mean_of_their_binary_ones() -> None:
    # chances 1/2 and 1/4: entropies ln 2 and ln 4 - 3/4 ln 3, the latter 0.8113 bits
    logits = torch.tensor([[[0.0, math.log(1 / 3)]]], dtype=torch.float64)
    information = per_class_self_information(logits)
    halves, quarter, rest = 0.5 * math.log(2), 0.25 * math.log(4), 0.75 * math.log(4 / 3)
    expected = torch.tensor([[[halves, quarter, halves, rest]]], dtype=torch.float64) / (2 * math.log(2))
    torch.testing.assert_close(information, expected)
    assert box_entropy(information).item() == pytest.approx((1 + 0.811278) / 2)
    certain = torch.tensor([[[200.0, -200.0]]], requires_grad=True)
    loss = box_entropy_loss(per_class_self_information(certain))
    loss.backward()
    assert certain.grad is not None
    assert loss.item() == 0
    assert torch.isfinite(certain.grad).all()


@pytest.mark.parametrize(("padding", "offset"), [("corner", 0), ("centred", 1)])
def test_stacking_and_padding_by_hand(padding: str, offset: int) -> None:
    maps = [MapShape(3, 4, 2), MapShape(1, 2, 1)]
    values = torch.arange(26 * 2, dtype=torch.float32).view(1, 26, 2) + 1
    stacked = stacked_maps(values, maps, padding=padding)  # type: ignore[arg-type]
    assert stacked.shape == (1, 2 * (2 + 1), 3, 4)
    # prior 13 of the first map is row 1, column 2, anchor 1; its two classes are channels 2 and 3
    assert stacked[0, 2:4, 1, 2].tolist() == [27.0, 28.0]
    # the second map begins at prior 24: values 49, 50 and 51, 52
    expected = torch.zeros(2, 3, 4)
    row = 1 if padding == "centred" else 0
    expected[:, row, offset] = torch.tensor([49.0, 50.0])
    expected[:, row, offset + 1] = torch.tensor([51.0, 52.0])
    torch.testing.assert_close(stacked[0, 4:], expected)


def test_stacking_loses_and_adds_nothing() -> None:
    maps = [MapShape(5, 4, 2), MapShape(3, 2, 3), MapShape(1, 1, 1)]
    values = torch.rand(2, 40 + 18 + 1, 3, dtype=torch.float64)
    for padding in ("corner", "centred"):
        stacked = stacked_maps(values, maps, padding=padding)  # type: ignore[arg-type]
        torch.testing.assert_close(stacked.sum(), values.sum())
        assert (stacked > 0).sum() == values.numel()
