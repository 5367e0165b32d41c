"""Accuracy and entropy near class boundaries and inside regions, against slow loops and values counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from acclimate.evaluation.boundaries import BoundaryCounts, near_boundaries
from acclimate.evaluation.scores import Row
from acclimate.labels import VOID


def near_slowly(label: NDArray[np.uint8], width: int, classes: int) -> NDArray[np.bool_]:
    near = np.zeros(label.shape, dtype=bool)
    for y, x in np.ndindex(*label.shape):
        if label[y, x] < classes:
            around = label[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
            near[y, x] = bool(((around != label[y, x]) & (around < classes)).any())
    return near


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_nearness_equals_a_loop_over_pixels(width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([0, 1, 2, 7, VOID], dtype=np.uint8), size=(4, 5))
    label = np.kron(coarse, np.ones((6, 5), dtype=np.uint8)).astype(np.uint8)
    np.testing.assert_array_equal(near_boundaries(label, width=width, classes=3), near_slowly(label, width, 3))


def test_void_makes_no_boundary() -> None:
    label = np.array([[0, 0, VOID, 0, 0]], dtype=np.uint8)
    assert not near_boundaries(label, width=1, classes=2).any()
    label = np.array([[0, 0, VOID, 1, 1]], dtype=np.uint8)
    assert near_boundaries(label, width=1, classes=2).tolist() == [[False] * 5]
    assert near_boundaries(label, width=2, classes=2).tolist() == [[False, True, False, True, False]]


def test_scores_counted_by_hand() -> None:
    """One row of ten pixels, two classes meeting in the middle, a void pixel at the end; width 2."""
    label = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, VOID]], dtype=np.uint8)
    prediction = np.array([[0, 0, 1, 0, 1, 1, 1, 0, 1, 0]], dtype=np.uint8)
    entropy = np.array([[0.1, 0.1, 0.1, 0.8, 0.6, 0.4, 0.2, 0.3, 0.4, 1.0]], dtype=np.float32)
    counts = BoundaryCounts(("a", "b"), width=2)
    counts.add(label, prediction, entropy)
    counts.add(label, prediction, entropy)
    scores = counts.scores()
    assert scores.width == 2
    assert (scores.near.pixels, scores.inside.pixels) == (8, 10)
    assert scores.near.accuracy == pytest.approx(3 / 4)  # pixels 3-6, of which 4 is wrong
    assert scores.inside.accuracy == pytest.approx(3 / 5)  # pixels 0-2 and 7-8, of which 2 and 7 are wrong
    assert scores.near.entropy == pytest.approx(0.5, abs=1e-6)
    assert scores.inside.entropy == pytest.approx(0.2, abs=1e-6)
    assert scores.near.miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.inside.miou == pytest.approx((2 / 4 + 1 / 3) / 2)


def test_a_picture_of_one_class_has_no_boundary() -> None:
    counts = BoundaryCounts(("a", "b"), width=5)
    counts.add(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.full((4, 4), 0.25, np.float32))
    near, inside = counts.scores().near, counts.scores().inside
    assert (near.pixels, near.accuracy, near.entropy, near.miou) == (0, None, None, None)
    assert (inside.pixels, inside.accuracy, inside.entropy) == (16, 1.0, 0.25)


def test_rows_keep_them_through_a_file() -> None:
    counts = BoundaryCounts(("a", "b"), width=5)
    counts.add(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.full((4, 4), 0.25, np.float32))
    row = Row(
        name="x", stage="1-x", method="advent", seed=0, data="scenes", split="val", images=1, protocol="scenes",
        miou=0.5, classes_averaged=1, iou={"a": 0.5}, boundaries=counts.scores(),
    )  # fmt: skip
    assert Row.model_validate(row.model_dump(mode="json")) == row
    assert Row.model_validate(row.model_dump(mode="json", exclude={"boundaries"})).boundaries is None
