from __future__ import annotations

import numpy as np
import pytest

from acclimate.evaluation.confusion import ConfusionMatrix

CLASSES = ("road", "car", "sky")


def filled(label: list[int], prediction: list[int], classes: tuple[str, ...] = CLASSES) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes)
    matrix.add(np.array(label, dtype=np.uint8), np.array(prediction, dtype=np.uint8))
    return matrix


def test_iou_by_hand() -> None:
    #          road road road car  car  sky  void
    matrix = filled([0, 0, 0, 1, 1, 2, 255], [0, 0, 1, 1, 2, 2, 0])
    # road: 2 right, 3 true, 2 predicted (the void pixel's prediction does not count) -> 2 / 3
    # car:  1 right, 2 true, 2 predicted -> 1 / 3;  sky: 1 right, 1 true, 2 predicted -> 1 / 2
    assert matrix.iou() == pytest.approx([2 / 3, 1 / 3, 1 / 2])
    assert matrix.miou() == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 6)


def test_rows_are_the_ground_truth() -> None:
    assert filled([0, 0, 1], [1, 1, 2]).counts.tolist() == [[0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_an_absent_class_is_left_out_of_the_mean_or_counts_zero() -> None:
    # sky is never true but predicted once: it lowers road's IoU (2 / 3) and has none of its own
    matrix = filled([0, 0, 0, 1], [0, 0, 2, 1])
    assert matrix.iou() == [pytest.approx(2 / 3), 1.0, None]
    assert matrix.averaged() == ["road", "car"]
    assert matrix.miou() == pytest.approx((2 / 3 + 1) / 2)
    assert matrix.iou(absent="zero") == [pytest.approx(2 / 3), 1.0, 0.0]
    assert matrix.miou(absent="zero") == pytest.approx((2 / 3 + 1) / 3)


def test_a_prediction_outside_the_classes_is_an_error_of_its_row_only() -> None:
    matrix = filled([0, 0, 1, 1], [0, 7, 1, 255])
    assert matrix.iou() == [0.5, 0.5, None]
    assert matrix.pixel_accuracy() == 0.5


def test_a_subset_keeps_the_errors_made_by_the_classes_left_out() -> None:
    # one car pixel is predicted sky: sky is not in the subset, car still has missed a pixel
    matrix = filled([0, 0, 1, 1, 2], [0, 0, 1, 2, 2])
    assert matrix.subset_miou({"ground": ("road", "car")}) == {"ground": pytest.approx((1 + 1 / 2) / 2)}
    assert filled([0], [0]).subset_miou({"absent": ("car", "sky")}) == {"absent": None}
    with pytest.raises(ValueError, match="boat"):
        matrix.miou(["boat"])


def test_nothing_scored_has_no_mean() -> None:
    matrix = filled([255, 255], [0, 1])
    assert matrix.miou() is None
    assert matrix.pixel_accuracy() is None


def test_the_mean_is_over_the_split_not_over_images() -> None:
    first, second = filled([0] * 9 + [1], [0] * 10), filled([0, 1], [0, 1])
    first.merge(second)
    # road: 10 right of 10 true and 11 predicted; car: 1 right of 2 true and 1 predicted
    assert first.iou() == [pytest.approx(10 / 11), 0.5, None]


def test_large_arrays_equal_a_pixel_by_pixel_count() -> None:
    generator = np.random.default_rng(0)
    label = generator.choice([0, 1, 2, 9, 255], size=(3, 301, 307)).astype(np.uint8)
    prediction = generator.choice([0, 1, 2, 3, 255], size=label.shape).astype(np.uint8)
    matrix = ConfusionMatrix(CLASSES)
    matrix.add(label, prediction)
    slow = [[int(((label == t) & (prediction == p)).sum()) for p in range(3)] for t in range(3)]
    assert matrix.counts[:, :3].tolist() == slow
    assert matrix.counts.sum() == int((label < 3).sum())


def test_mismatched_input_is_refused() -> None:
    matrix = ConfusionMatrix(CLASSES)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        matrix.add(np.zeros((2, 3), dtype=np.uint8), np.zeros((3, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match="int64"):
        matrix.add(np.zeros(2, dtype=np.uint8), np.zeros(2, dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot merge"):
        matrix.merge(ConfusionMatrix(("a", "b", "c")))
