"""Predictions and uncertainties against the definitions in float64, at the extremes, and with broken input."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from acclimate.pseudo.confidence import Resample, score_maps, score_maps_of_probabilities


def test_hand_computed_scores() -> None:
    logits = torch.tensor([math.log(0.7), math.log(0.2), math.log(0.1)]).view(1, 3, 1, 1)
    maps = score_maps(logits)
    entropy = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1)) / math.log(3)
    assert maps.prediction.item() == 0
    assert maps.uncertainty["softmax"].item() == pytest.approx(0.3, rel=1e-6)
    assert maps.uncertainty["entropy"].item() == pytest.approx(entropy, rel=1e-6)
    assert maps.published("softmax").item() == pytest.approx(0.7, rel=1e-6)
    assert maps.published("entropy").item() == pytest.approx(entropy, rel=1e-6)


def test_the_papers_numbers_for_a_probability_of_095() -> None:
    """ESL section 4.3: with a maximum probability of 0.95, E is between 0.07 and 0.12 for 19 classes."""
    one = torch.zeros(1, 19, 1, 1)
    one[0, :2] = torch.tensor([0.95, 0.05]).view(2, 1, 1)
    spread = torch.full((1, 19, 1, 1), 0.05 / 18)
    spread[0, 0] = 0.95
    assert score_maps_of_probabilities(one).uncertainty["entropy"].item() == pytest.approx(0.0674, abs=1e-4)
    assert score_maps_of_probabilities(spread).uncertainty["entropy"].item() == pytest.approx(0.1165, abs=1e-4)


@pytest.mark.parametrize("resample", ["logits", "probabilities"])
@pytest.mark.parametrize("lead", [0.0, 8.0, 20.0, 60.0])
def test_relative_precision_where_scores_saturate(resample: Resample, lead: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 19, 16, 24)
    logits[:, 7] += lead
    maps = score_maps(logits, resample=resample)
    log_p = logits.double().log_softmax(dim=1)
    others = log_p.exp().scatter(1, log_p.argmax(dim=1, keepdim=True), 0.0)
    expected_softmax = others.sum(dim=1)
    largest = -(1 - expected_softmax) * torch.log1p(-expected_softmax)
    expected_entropy = (torch.special.entr(others).sum(dim=1) + largest) / math.log(19)
    assert torch.equal(maps.prediction.long(), logits.argmax(dim=1))
    torch.testing.assert_close(maps.uncertainty["softmax"].double(), expected_softmax, rtol=2e-5, atol=0.0)
    torch.testing.assert_close(maps.uncertainty["entropy"].double(), expected_entropy, rtol=2e-5, atol=0.0)


@pytest.mark.parametrize("resample", ["logits", "probabilities"])
def test_enlargement_in_rows_equals_enlargement_at_once(resample: Resample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acclimate.pseudo.confidence._ELEMENTS_AT_ONCE", 1000)
    torch.manual_seed(1)
    logits, size = 3 * torch.randn(2, 5, 9, 17), (64, 128)
    maps = score_maps(logits, size=size, resample=resample)
    if resample == "logits":
        large = functional.interpolate(logits, size=size, mode="bilinear", align_corners=True).softmax(dim=1)
    else:
        large = functional.interpolate(logits.softmax(dim=1), size=size, mode="bilinear", align_corners=True)
    entropy = torch.special.entr(large).sum(dim=1) / math.log(5)
    assert (maps.prediction != large.argmax(dim=1)).sum() <= 2
    torch.testing.assert_close(maps.uncertainty["softmax"], 1 - large.amax(dim=1), rtol=0.0, atol=2e-6)
    torch.testing.assert_close(maps.uncertainty["entropy"], entropy, rtol=0.0, atol=2e-6)


def test_interpolated_probabilities_are_less_sure_between_two_confident_cells() -> None:
    logits = torch.tensor([[30.0, -30.0], [-30.0, 30.0]]).view(1, 2, 1, 2)
    probabilities = score_maps(logits, size=(1, 5), resample="probabilities").uncertainty["entropy"]
    logits_first = score_maps(logits, size=(1, 5), resample="logits").uncertainty["entropy"]
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert probabilities.flatten().tolist() == pytest.approx([0.0, quarter, 1.0, quarter, 0.0], abs=1e-6)
    assert logits_first.flatten()[1].item() < 1e-10


def test_exact_zeros_and_masked_classes_give_no_nan() -> None:
    certain = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    masked = torch.tensor([2.0, -math.inf, -math.inf]).view(1, 3, 1, 1)
    for maps in (score_maps_of_probabilities(certain), score_maps(masked, resample="logits"), score_maps(masked)):
        assert maps.prediction.item() == 0
        assert maps.uncertainty["softmax"].item() == 0.0
        assert maps.uncertainty["entropy"].item() == 0.0


@pytest.mark.parametrize("resample", ["logits", "probabilities"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_pixels_are_void(resample: Resample, bad: float) -> None:
    logits = torch.randn(1, 4, 1, 3)
    logits[0, 2, 0, 1] = bad
    maps = score_maps(logits, resample=resample)
    assert (maps.prediction == 255).flatten().tolist() == [False, True, False]
    for uncertainty in maps.uncertainty.values():
        assert uncertainty.isnan().flatten().tolist() == [False, True, False]


def test_only_the_confidences_asked_for_and_one_class_alone() -> None:
    assert set(score_maps(torch.randn(1, 3, 2, 2), confidences=["entropy"]).uncertainty) == {"entropy"}
    maps = score_maps(torch.randn(1, 1, 2, 2))
    assert maps.uncertainty["entropy"].sum() == 0
    assert maps.uncertainty["softmax"].sum() == 0


def test_half_precision_logits_are_computed_in_float32() -> None:
    logits = (4 * torch.randn(1, 6, 4, 4)).to(torch.bfloat16)
    expected = score_maps(logits.float()).uncertainty["entropy"]
    assert torch.equal(score_maps(logits).uncertainty["entropy"], expected)
