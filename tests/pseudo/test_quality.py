"""Table 4, boundary zones and changes, by hand on tiny maps and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.pseudo.quality import (
    SelectionChange,
    SelectionQuality,
    near_boundary,
    quality_table,
    relative_change,
)

V = 255
LABEL = np.array([[0, 0, 1, 1], [0, V, 1, 1]], dtype=np.uint8)
SOFTMAX = np.array([[0, 1, 1, V], [0, 0, 1, 0]], dtype=np.uint8)
ENTROPY = np.array([[0, V, 1, 1], [0, 0, V, V]], dtype=np.uint8)


def quality(selected: np.ndarray) -> SelectionQuality:
    result = SelectionQuality(["road", "car"])
    # in two parts: the counts of images add up
    result.add(LABEL[:1], selected[:1])
    result.add(LABEL[1:], selected[1:])
    return result


def test_table_4_by_hand() -> None:
    softmax = quality(SOFTMAX)
    # selected as road: two right, one on void, one on car; as car: two right, one on road
    assert softmax.selected().tolist() == [4, 3]
    assert softmax.error_share(void="wrong") == [2 / 4, 1 / 3]
    assert softmax.error_share(void="ignored") == [1 / 3, 1 / 3]
    assert softmax.overall_error_share(void="wrong") == 3 / 7
    assert softmax.overall_error_share(void="ignored") == 2 / 6
    table = quality_table(softmax, quality(ENTROPY))
    assert table["void wrong"]["entropy"] == [1 / 3, 0.0]
    assert table["void ignored"]["entropy"] == [0.0, 0.0]
    assert table["void wrong"]["relative change"] == pytest.approx([-1 / 3, -1.0])
    assert table["void wrong"]["relative change overall"] == pytest.approx((1 / 5 - 3 / 7) / (3 / 7))


def test_published_relative_change() -> None:
    assert relative_change(0.145, 0.139) == pytest.approx(-0.041, abs=1e-3)
    assert relative_change(0.0, 0.1) is None
    assert relative_change(None, 0.1) is None


def test_nothing_selected_has_no_error_share() -> None:
    empty = quality(np.full_like(LABEL, V))
    assert empty.error_share(void="wrong") == [None, None]
    assert empty.overall_error_share(void="ignored") is None


@pytest.mark.parametrize("distance", [0, 1, 2, 5])
def test_near_boundary_against_a_loop(distance: int) -> None:
    torch.manual_seed(distance)
    prediction = torch.randint(0, 2, (2, 4, 5)).repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)
    found = near_boundary(prediction, distance=distance)
    for b, y, x in np.ndindex(*prediction.shape):
        window = prediction[b, max(0, y - distance) : y + distance + 1, max(0, x - distance) : x + distance + 1]
        assert bool(found[b, y, x]) == (len(window.unique()) > 1)
    assert torch.equal(near_boundary(prediction[0], distance=distance), found[0])


def test_changes_near_boundaries_and_inside_by_hand() -> None:
    prediction = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]], dtype=torch.uint8)
    softmax = torch.tensor([[0, 0, 0, 0, 1, V, 1, V]], dtype=torch.uint8)
    entropy = torch.tensor([[0, V, 0, V, V, V, 1, 1]], dtype=torch.uint8)
    label = torch.tensor([[0, 0, 0, 1, 1, 1, 1, V]], dtype=torch.uint8)
    change = SelectionChange(distance=1)
    change.add(prediction, softmax, entropy, label)
    summary = change.summary()
    # near: columns 3 and 4, both removed, one of them wrong; inside: one of six removed, one added (on void)
    assert summary["near boundaries"]["pixels"] == 2 / 8
    assert summary["near boundaries"]["removed"] == 1.0
    assert summary["near boundaries"]["removed wrong"] == 0.5
    assert summary["near boundaries"]["added"] == 0.0
    assert summary["near boundaries"]["added wrong"] is None
    assert summary["inside regions"]["removed"] == 1 / 6
    assert summary["inside regions"]["removed wrong"] == 0.0
    assert summary["inside regions"]["added"] == 1 / 6
    assert summary["inside regions"]["added wrong"] is None
    assert summary["removed near boundaries"] == 2 / 3
    assert summary["added near boundaries"] == 0.0


def test_changes_without_labels_say_nothing_of_errors() -> None:
    change = SelectionChange()
    prediction = torch.zeros(1, 3, 3, dtype=torch.uint8)
    change.add(prediction, prediction, torch.full_like(prediction, V))
    assert change.summary()["inside regions"]["removed"] == 1.0
    assert change.summary()["inside regions"]["removed wrong"] is None
    assert change.summary()["removed near boundaries"] == 0.0
