"""Scores without labels against values worked out by hand and an independent slow implementation."""

from __future__ import annotations

import math

import pytest
import torch

from acclimate.evaluation.label_free import (
    HIGHER_IS_BETTER,
    class_ratio_divergence,
    information_maximisation,
    label_free_scores,
    mean_entropy,
    rank_correlation,
    soft_neighbourhood_density,
)

SURE = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
UNSURE = torch.full((3, 4), 0.25, dtype=torch.float64)


def test_mean_entropy_by_hand() -> None:
    assert mean_entropy(SURE) == 0.0
    assert mean_entropy(UNSURE) == pytest.approx(1.0)
    # 2 bits' worth over two classes: H(3/4, 1/4) = 2 - 3/4 log2(3) bits
    assert mean_entropy(torch.tensor([[0.75, 0.25]], dtype=torch.float64)) == pytest.approx(2 - 0.75 * math.log2(3))


def test_information_is_whole_when_sure_and_balanced_and_none_otherwise() -> None:
    assert information_maximisation(SURE) == pytest.approx(1.0)
    assert information_maximisation(UNSURE) == pytest.approx(0.0)
    collapsed = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert information_maximisation(collapsed) == pytest.approx(0.0)


def test_neighbourhood_density_by_hand() -> None:
    # three equal pixels: each has two equally near neighbours, ln 2
    assert soft_neighbourhood_density(torch.full((3, 2), 0.5)) == pytest.approx(math.log(2), abs=1e-6)
    # two pixels: one neighbour each, nothing to spread over
    assert soft_neighbourhood_density(SURE) == pytest.approx(0.0)
    # two pairs at right angles, T = 1/2: similarities 2, 0, 0 to the other three
    pairs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    near, far = math.exp(2) / (math.exp(2) + 2), 1 / (math.exp(2) + 2)
    by_hand = -(near * math.log(near) + 2 * far * math.log(far))
    assert soft_neighbourhood_density(pairs, temperature=0.5) == pytest.approx(by_hand)


def test_neighbourhood_density_against_loops() -> None:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(9, 5, generator=generator, dtype=torch.float64).softmax(dim=1)
    total = 0.0
    for i in range(9):
        weights = []
        for j in range(9):
            if i != j:
                cosine = sum(float(a * b) for a, b in zip(pixels[i], pixels[j], strict=True))
                cosine /= math.sqrt(sum(float(a) ** 2 for a in pixels[i]) * sum(float(b) ** 2 for b in pixels[j]))
                weights.append(math.exp(cosine / 0.05))
        shares = [weight / sum(weights) for weight in weights]
        total += -sum(share * math.log(share) for share in shares)
    assert soft_neighbourhood_density(pixels) == pytest.approx(total / 9)


def test_divergence_is_zero_for_equal_and_one_bit_for_disjoint_ratios() -> None:
    assert class_ratio_divergence(SURE, torch.tensor([0.5, 0.5])) == pytest.approx(0.0)
    assert class_ratio_divergence(SURE[:1], torch.tensor([0.0, 1.0])) == pytest.approx(1.0)
    # mean (1, 0), ratios (1/2, 1/2), middle (3/4, 1/4): H(3/4, 1/4) - H(1/2, 1/2) / 2
    expected = (2 - 0.75 * math.log2(3)) - 0.5
    assert class_ratio_divergence(SURE[:1], torch.tensor([0.5, 0.5])) == pytest.approx(expected)


def test_all_scores_together() -> None:
    images = [torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(n)).softmax(dim=0) for n in range(2)]
    scores = label_free_scores(images, source_ratios=torch.full((4,), 0.25), pixels_per_image=10)
    assert list(scores) == list(HIGHER_IS_BETTER)
    assert scores == label_free_scores(images, source_ratios=torch.full((4,), 0.25), pixels_per_image=10)
    assert "class-ratio divergence" not in label_free_scores(images, source_ratios=None)
    with pytest.raises(ValueError, match="at least one image"):
        label_free_scores([], source_ratios=None)


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 1000]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24)
    assert rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    # a tie shares its mean rank: 1.5 1.5 3 against 1 2 3 is 1.5 / sqrt(1.5 * 2)
    assert rank_correlation([7, 7, 9], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(3))
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2], [1, 2]) is None
