"""CBST's thresholds and decision, by hand and against the direct formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.pseudo.confidence import ScoreMaps, score_maps_of_probabilities
from acclimate.pseudo.histogram import ScoreHistogram
from acclimate.pseudo.selection import class_balanced_labels
from acclimate.pseudo.thresholds import Selection, Thresholds, class_thresholds

CBST = Selection(confidence="softmax", rule="portion", portion=0.5, decision="class-balanced")


def maps_of(probabilities: torch.Tensor) -> ScoreMaps:
    return score_maps_of_probabilities(probabilities)


def decided(rows: list[list[float]], thresholds: list[float], *, inclusive: bool = False) -> list[int]:
    """Labels of pixels given by their probabilities, for thresholds exp(-k_c)."""
    probabilities = torch.tensor(rows).T.reshape(1, len(rows[0]), 1, len(rows))
    limits = Thresholds("softmax", inclusive, tuple(1.0 - value for value in thresholds))
    return class_balanced_labels(probabilities, maps_of(probabilities), limits)[0, 0].tolist()


def test_the_decision_by_hand() -> None:
    pixels = [
        [0.60, 0.30, 0.10],  # 0.60/0.9, 0.30/0.5, 0.10/0.2: none exceeds 1
        [0.95, 0.03, 0.02],  # class 0 does
        [0.55, 0.20, 0.25],  # the most probable class fails, 0.25/0.2 does not
        [0.91, 0.01, 0.08],  # class 0 just does
        [0.40, 0.55, 0.05],  # class 1
        [0.10, 0.51, 0.39],  # 1.02 for class 1, 1.95 for class 2: the rarer class wins
    ]
    assert decided(pixels, [0.9, 0.5, 0.2]) == [255, 0, 2, 0, 1, 2]


def test_equality_is_kept_in_the_authors_convention_only() -> None:
    assert decided([[0.5, 0.25, 0.25]], [1.0, 0.25, 1.0]) == [255]
    assert decided([[0.5, 0.25, 0.25]], [1.0, 0.25, 1.0], inclusive=True) == [1]


def test_a_class_never_predicted_has_threshold_one() -> None:
    histogram = ScoreHistogram(3, "softmax")
    histogram.add(torch.tensor([0, 0, 1, 1], dtype=torch.uint8), torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert class_thresholds(histogram, CBST).published()[2] == 1.0


def test_thresholds_are_the_element_of_rank_p_n() -> None:
    confidences = torch.tensor([0.95, 0.9, 0.8, 0.7, 0.65, 0.6, 0.55, 0.52, 0.51])
    histogram = ScoreHistogram(2, "softmax")
    histogram.add(torch.zeros(9, dtype=torch.uint8), 1 - confidences)
    authors = CBST.model_copy(update={"convention": "authors"})
    # floor(9 * 0.5) - 1 = 3: the element 0.7, which is kept with the three before it
    assert class_thresholds(histogram, authors).published()[0] == pytest.approx(0.7, rel=1e-3)
    kept = [float(c) for c in confidences if decided([[float(c), 1 - float(c)]], [0.7 - 1e-6, 1.0]) == [0]]
    assert len(kept) == 4
    # rank round(9 * 0.5) = 4 in the paper: as many pixels, by strict comparison with the next element
    assert class_thresholds(histogram, CBST).published()[0] == pytest.approx(0.65, rel=1e-3)


def test_a_class_without_a_pixel_at_the_cut_keeps_none_in_the_authors_convention() -> None:
    """floor(0.2 * 1) = 0: the published list is empty there and the threshold stays P = 1."""
    histogram = ScoreHistogram(2, "softmax")
    histogram.add(torch.tensor([0], dtype=torch.uint8), torch.tensor([0.05]))
    few = CBST.model_copy(update={"convention": "authors", "portion": 0.2})
    thresholds = class_thresholds(histogram, few)
    assert thresholds.published() == [1.0, 1.0]
    assert decided([[0.95, 0.05]], thresholds.published(), inclusive=True) == [255]


def test_it_equals_the_direct_formula_on_random_maps() -> None:
    torch.manual_seed(0)
    probabilities = (0.5 * torch.randn(2, 5, 40, 30) + torch.tensor([0.5, 0.5, 0, 0, 0]).view(1, 5, 1, 1)).softmax(
        dim=1
    )
    maps = maps_of(probabilities)
    histogram = ScoreHistogram(5, "softmax")
    histogram.add(maps.prediction, maps.uncertainty["softmax"])
    thresholds = class_thresholds(histogram, CBST)
    found = class_balanced_labels(probabilities, maps, thresholds).numpy()
    p = probabilities.numpy().astype(np.float64)
    confident = p.max(axis=1)
    expected_thresholds = []
    for index in range(5):
        mine = np.sort(confident[p.argmax(axis=1) == index])[::-1]
        expected_thresholds.append(mine[len(mine) // 2])
    ratio = p / np.array(expected_thresholds)[None, :, None, None]
    expected = np.where(ratio.max(axis=1) > 1, ratio.argmax(axis=1), 255)
    close = np.sort(np.abs(ratio - 1), axis=1)[:, 0] < 2e-3
    close |= np.abs(np.diff(np.sort(ratio, axis=1)[:, -2:], axis=1))[:, 0] < 2e-3
    assert close.mean() < 0.05
    assert (found == expected)[~close].all()
    assert (found != maps.prediction.numpy())[found != 255].any(), "some pixel gets another class than the likeliest"


def test_certainty_that_rounds_to_one_is_still_told_apart() -> None:
    logits = torch.tensor([[30.0, 20.0], [0.0, 0.0]])[None, :, None, :].double().softmax(dim=1).float()
    maps = maps_of(logits)
    assert logits[0, 0].tolist() == [[1.0, pytest.approx(1.0, abs=1e-8)]]
    u = maps.uncertainty["softmax"][0, 0].tolist()
    between = (u[0] + u[1]) / 2
    labels = class_balanced_labels(logits, maps, Thresholds("softmax", False, (between, 0.0)))
    assert labels[0, 0].tolist() == [0, 255]


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="rule: portion"):
        Selection(confidence="entropy", decision="class-balanced")
