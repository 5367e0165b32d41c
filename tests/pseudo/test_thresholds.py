"""Thresholds of both conventions: by hand on tiny arrays, and against sorting on a million saturated scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from acclimate.pseudo.confidence import Confidence
from acclimate.pseudo.histogram import ScoreHistogram, bin_edges
from acclimate.pseudo.selection import select
from acclimate.pseudo.thresholds import Convention, Rule, Selection, Thresholds, class_thresholds, kept_share

ONE_BIN = 1e-5


def histogram_of(scores: list[list[float]], confidence: Confidence) -> ScoreHistogram:
    """Published scores (probabilities or entropies) of each class's pixels."""
    histogram = ScoreHistogram(len(scores), confidence)
    for index, values in enumerate(scores):
        published = torch.tensor(values)
        uncertainty = (1 - published.double()).float() if confidence == "softmax" else published
        histogram.add(torch.full(published.shape, index, dtype=torch.uint8), uncertainty)
    return histogram


def threshold_of(scores: list[float], **settings: object) -> float:
    selection = Selection.model_validate(settings)
    return class_thresholds(histogram_of([scores], selection.confidence), selection).published()[0]


@pytest.mark.parametrize(
    ("scores", "paper", "authors"),
    [
        # authors: the element at round(n / 2) of the ascending scores: 3 -> 2, 5 -> 2, 4 -> 2, 2 -> 1, 1 -> 0
        ([0.2, 0.4, 0.8], 0.4, 0.8),
        ([0.9, 0.2, 0.3, 0.7, 0.5], 0.5, 0.5),
        ([0.2, 0.4, 0.6, 0.8], 0.5, 0.6),
        ([0.3, 0.7], 0.5, 0.7),
        ([0.6], 0.6, 0.6),
        ([0.2, 0.5, 0.5, 0.5, 0.9], 0.5, 0.5),
    ],
)
@pytest.mark.parametrize("confidence", ["softmax", "entropy"])
def test_medians_by_hand(scores: list[float], paper: float, authors: float, confidence: Confidence) -> None:
    found = threshold_of(scores, confidence=confidence, rule="median", convention="paper")
    assert found == pytest.approx(paper, abs=ONE_BIN)
    found = threshold_of(scores, confidence=confidence, rule="median", convention="authors")
    assert found == pytest.approx(authors, abs=ONE_BIN)


@pytest.mark.parametrize(
    ("confidence", "scores", "expected"),
    [
        ("softmax", [0.95, 0.99, 0.999], 0.9),  # eq. 6: min(0.9, 0.99)
        ("softmax", [0.4, 0.6, 0.99], 0.6),  # rare classes: below the cap
        ("entropy", [0.001, 0.02, 0.3], 0.1),  # eq. 9: max(0.1, 0.02)
        ("entropy", [0.001, 0.25, 0.3], 0.25),
    ],
)
def test_the_cap_and_the_floor(confidence: Confidence, scores: list[float], expected: float) -> None:
    assert threshold_of(scores, confidence=confidence) == pytest.approx(expected, abs=ONE_BIN)


@pytest.mark.parametrize("scores", [[0.4, 0.6, 0.99], [0.96, 0.99, 0.999], []])
def test_the_fixed_rule_keeps_what_passes_the_bound_alone(scores: list[float]) -> None:
    assert threshold_of(scores, confidence="softmax", rule="fixed", cap=0.95) == pytest.approx(0.95)
    assert threshold_of(scores, confidence="entropy", rule="fixed", floor=0.2) == pytest.approx(0.2)
    with pytest.raises(ValidationError, match="portion is not read by the rule 'fixed'"):
        Selection(rule="fixed", portion=0.1)


def test_classes_that_are_never_predicted() -> None:
    for confidence, rule, convention, expected in [
        ("softmax", "capped", "authors", 0.0),  # the scripts' threshold of an empty class is 0, then capped at 0.9
        ("entropy", "capped", "authors", 0.1),  # and raised to the floor
        ("entropy", "median", "authors", 0.0),
        ("softmax", "capped", "paper", 0.9),
        ("entropy", "capped", "paper", 0.1),
        ("entropy", "portion", "paper", 0.0),
        ("entropy", "fixed", "authors", 0.1),
    ]:
        found = threshold_of([], confidence=confidence, rule=rule, convention=convention)
        assert found == pytest.approx(expected, abs=1e-12)
    kept = kept_share(histogram_of([[], [0.5]], "entropy"), Thresholds("entropy", False, (0.1, 0.6)))
    assert kept.per_class == [None, 1.0]
    assert kept.overall == 1.0
    assert kept_share(ScoreHistogram(2, "entropy"), Thresholds("entropy", False, (0.1, 0.6))).overall is None


def selected(scores: list[float], **settings: object) -> list[float]:
    """The scores kept in the second pass."""
    selection = Selection.model_validate({"confidence": "entropy", **settings})
    thresholds = class_thresholds(histogram_of([scores], "entropy"), selection)
    values = torch.tensor(scores)
    labels = select(torch.zeros(len(scores), dtype=torch.uint8), values, thresholds)
    return [score for score, label in zip(scores, labels.tolist(), strict=True) if label == 0]


def test_strict_and_inclusive_selection_by_hand() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert selected(scores, rule="median", convention="paper") == [0.1, 0.2]
    assert selected(scores, rule="median", convention="authors") == [0.1, 0.2, 0.3]
    assert selected([0.1, 0.2, 0.3, 0.4], rule="median", convention="paper") == [0.1, 0.2]
    assert selected([0.1, 0.2, 0.3, 0.4], rule="median", convention="authors") == [0.1, 0.2, 0.3]
    assert selected([0.3], rule="median", convention="paper") == []
    assert selected([0.3], rule="median", convention="authors") == [0.3]
    assert selected(scores, rule="portion", portion=0.4) == [0.1, 0.2]
    assert selected(scores, rule="portion", portion=1.0) == scores
    assert selected(scores, rule="portion", portion=0.4, convention="authors") == [0.1, 0.2]


def test_a_score_equal_to_the_floor() -> None:
    floor = 0.25
    assert selected([0.125, 0.25, 0.375], floor=floor, convention="authors") == [0.125, 0.25, 0.375]
    assert selected([0.125, 0.125, 0.25, 0.25], floor=floor, convention="paper") == [0.125, 0.125]
    thresholds = Thresholds("entropy", True, (0.25,))
    values = torch.tensor([0.25, np.nextafter(np.float32(0.25), np.float32(1))])
    assert select(torch.zeros(2, dtype=torch.uint8), values, thresholds).tolist() == [0, 255]


def test_ties_are_taken_whole_or_not_and_reported() -> None:
    scores = [0.1] * 3 + [0.2] * 6 + [0.3]
    histogram = histogram_of([scores], "entropy")
    for portion, share in [(0.2, 0.3), (0.5, 0.3), (0.7, 0.9), (0.94, 0.9), (0.99, 1.0)]:
        selection = Selection(rule="portion", portion=portion)
        thresholds = class_thresholds(histogram, selection)
        assert kept_share(histogram, thresholds).per_class[0] == pytest.approx(share)
        assert len(selected(scores, rule="portion", portion=portion)) == round(10 * share)
    zeros = histogram_of([[0.0] * 9 + [0.5]], "entropy")
    assert kept_share(zeros, class_thresholds(zeros, Selection(rule="portion", portion=0.8))).overall == 0.9


def test_global_is_one_threshold_for_all_classes() -> None:
    histogram = histogram_of([[0.01, 0.02, 0.03, 0.04], [0.5, 0.6, 0.7, 0.8]], "entropy")
    kept = kept_share(histogram, class_thresholds(histogram, Selection(rule="global", portion=0.5)))
    assert kept.per_class == [1.0, 0.0]
    balanced = kept_share(histogram, class_thresholds(histogram, Selection(rule="portion", portion=0.5)))
    assert balanced.per_class == [0.5, 0.5]


def saturated_scores(pixels: int, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Easy classes first: half of the first one's pixels are surer than 0.9999."""
    random = np.random.default_rng(3)
    prediction = random.integers(0, classes, pixels).astype(np.uint8)
    spread = 18.4 / (1 + prediction)
    return prediction, np.exp(-random.uniform(0.0, spread)).astype(np.float32)


@pytest.mark.parametrize("portion", [0.001, 0.05, 0.15, 0.2, 0.5, 0.83, 0.999])
@pytest.mark.parametrize("rule", ["portion", "global"])
def test_any_portion_is_met_within_half_a_percent(portion: float, rule: Rule) -> None:
    prediction, scores = saturated_scores(400_000, 4)
    histogram = ScoreHistogram(4, "softmax")
    histogram.add(torch.from_numpy(prediction), torch.from_numpy(scores))
    selection = Selection(confidence="softmax", rule=rule, portion=portion)
    thresholds = class_thresholds(histogram, selection)
    labels = select(torch.from_numpy(prediction), torch.from_numpy(scores), thresholds).numpy()
    kept = kept_share(histogram, thresholds)
    assert kept.overall == pytest.approx(float((labels != 255).mean()), abs=1e-12)
    shares = [kept.overall] if rule == "global" else kept.per_class
    assert shares == pytest.approx([portion] * len(shares), abs=0.002)


def test_scores_of_an_untrained_network_are_met_too() -> None:
    """Its maximum probabilities crowd within a thousandth of each other, far from where scores saturate."""
    values = torch.from_numpy(np.random.default_rng(0).normal(0.946, 2.6e-4, 200_000).astype(np.float32))
    histogram = ScoreHistogram(1, "softmax")
    histogram.add(torch.zeros(len(values), dtype=torch.uint8), values)
    for portion in (0.15, 0.5, 0.8):
        thresholds = class_thresholds(histogram, Selection(confidence="softmax", rule="portion", portion=portion))
        assert kept_share(histogram, thresholds).overall == pytest.approx(portion, abs=0.005)


def paper_keeps(scores: NDArray[np.float64], rule: Rule, confidence: Confidence) -> NDArray[np.bool_]:
    """Eq. 5-9 literally, on published scores."""
    median = float(np.median(scores))
    if confidence == "softmax":
        kept: NDArray[np.bool_] = scores > (min(0.9, median) if rule == "capped" else median)
    else:
        kept = scores < (max(0.1, median) if rule == "capped" else median)
    return kept


def authors_keep(scores: NDArray[np.float64], rule: Rule, confidence: Confidence) -> NDArray[np.bool_]:
    """The published scripts' procedure."""
    element = float(np.sort(scores)[round(0.5 * len(scores))])
    if confidence == "softmax":
        kept: NDArray[np.bool_] = scores >= (min(0.9, element) if rule == "capped" else element)
    else:
        kept = scores <= (max(0.1, element) if rule == "capped" else element)
    return kept


@pytest.mark.parametrize("confidence", ["softmax", "entropy"])
@pytest.mark.parametrize("rule", ["capped", "median"])
@pytest.mark.parametrize(("convention", "direct"), [("paper", paper_keeps), ("authors", authors_keep)])
def test_identity_on_a_million_saturated_pixels(
    confidence: Confidence, rule: Rule, convention: Convention, direct: Callable[..., NDArray[np.bool_]]
) -> None:
    prediction, uncertainty = saturated_scores(1_000_000, 6)
    histogram = ScoreHistogram(6, confidence)
    histogram.add(torch.from_numpy(prediction), torch.from_numpy(uncertainty))
    thresholds = class_thresholds(histogram, Selection(confidence=confidence, rule=rule, convention=convention))
    labels = select(torch.from_numpy(prediction), torch.from_numpy(uncertainty), thresholds).numpy()
    assert set(np.unique(labels)) <= {*range(6), 255}
    differing = 0
    for index in range(6):
        mask = prediction == index
        scores = uncertainty[mask].astype(np.float64)
        kept = direct(1 - scores if confidence == "softmax" else scores, rule, confidence)
        wrong = scores[kept != (labels[mask] == index)]
        differing += len(wrong)
        edge = np.searchsorted(bin_edges(), thresholds.uncertainty[index], side="right")
        assert (np.abs(np.searchsorted(bin_edges(), wrong, side="right") - edge) <= 1).all()
        assert abs(kept.mean() - (labels[mask] == index).mean()) < 0.005
    assert differing < 1000


def test_pixels_without_a_score_or_a_class_are_never_selected() -> None:
    thresholds = Thresholds("entropy", True, (1.0, 1.0))
    prediction = torch.tensor([0, 1, 255, 1], dtype=torch.uint8)
    uncertainty = torch.tensor([torch.nan, 0.5, 0.0, 1.0])
    assert select(prediction, uncertainty, thresholds).tolist() == [255, 1, 255, 1]


def test_float32_limits_decide_as_real_numbers_would() -> None:
    for value in (0.1, 0.9, 1 - 0.9, 0.25, 1 / 3):
        around = [np.float32(value)]
        around += [np.nextafter(around[0], np.float32(0)), np.nextafter(around[0], np.float32(1))]
        for inclusive in (False, True):
            limit = Thresholds("entropy", inclusive, (value,)).limits()[0].item()
            for score in around:
                exact = float(score) <= value if inclusive else float(score) < value
                assert (score < np.float32(limit)) == exact


def test_fdas_third_and_two_thirds_by_hand() -> None:
    """Ten confidences: the published element round(0.66 * 10) = 7 of the ascending ones, kept with what lies above."""
    ascending = [0.21, 0.3, 0.42, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.85]
    fda = {"confidence": "softmax", "convention": "authors"}
    assert threshold_of(ascending, portion=0.34, **fda) == pytest.approx(0.7, rel=1e-3)
    assert threshold_of(ascending, portion=0.66, **fda) == pytest.approx(ascending[round(0.34 * 10)], rel=1e-3)
    assert threshold_of([0.95] * 3 + ascending, portion=0.1, **fda) == pytest.approx(0.9, rel=1e-3), "never above 0.9"
    # the paper's strict comparison: of ten, the three above the fourth
    assert threshold_of(ascending, portion=0.3, confidence="softmax") == pytest.approx(0.65, rel=1e-3)


def test_settings_that_would_be_ignored_are_refused() -> None:
    with pytest.raises(ValidationError, match="portion is not read"):
        Selection(rule="median", portion=0.2)
    with pytest.raises(ValidationError):
        Selection.model_validate({"treshold": 0.3})
    with pytest.raises(ValueError, match="cannot give"):
        class_thresholds(ScoreHistogram(2, "softmax"), Selection(confidence="entropy"))
