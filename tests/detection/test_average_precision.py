"""AP against a case worked out by hand, in both styles."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.detection.average_precision import DetectionScores
from acclimate.detection.detector import Detection
from acclimate.detection.sample import Boxes


def detection(*found: tuple[list[float], int, float]) -> Detection:
    boxes = torch.tensor([each[0] for each in found]).reshape(-1, 4)
    return Detection(boxes, torch.tensor([each[1] for each in found]), torch.tensor([each[2] for each in found]))


A, B, C = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [40.0, 0.0, 50.0, 10.0]
ELSEWHERE = [80.0, 80.0, 90.0, 90.0]


def hand_worked() -> DetectionScores:
    """Three objects in two images; in order of certainty: right, wrong, right, wrong (a repetition), and one missed.

    rank        1    2    3    4
    precision  1/1  1/2  2/3  2/4
    recall     1/3  1/3  2/3  2/3
    """
    scores = DetectionScores(2)
    # IoU of the shifted box with A: 9 * 10 / (10 * 10 + 10) = 0.818
    scores.add(
        Boxes.of([A, B], [0, 0]),
        detection(([1.0, 0.0, 11.0, 10.0], 0, 0.9), (ELSEWHERE, 0, 0.8), (A, 0, 0.6)),
    )
    scores.add(Boxes.of([C], [0]), detection((C, 0, 0.7)))
    return scores


def test_area_style_by_hand() -> None:
    # interpolated precision is 1 up to recall 1/3, 2/3 up to 2/3, then 0
    result = hand_worked().average_precision("area")
    assert result.by_class == (pytest.approx((1 + 2 / 3 + 0) / 3), None)
    assert result.mean == pytest.approx(5 / 9)


def test_voc07_style_by_hand() -> None:
    # recalls 0, 0.1, 0.2, 0.3 see precision 1; 0.4, 0.5, 0.6 see 2/3; the other four see 0
    result = hand_worked().average_precision("voc07")
    assert result.by_class[0] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_overlap_of_less_than_half_is_wrong() -> None:
    scores = DetectionScores(1)
    # shifted by 3.4 of 10: IoU 6.6 / 13.4 = 0.4925; by 3.2: 6.8 / 13.2 = 0.515
    scores.add(Boxes.of([A], [0]), detection(([3.4, 0.0, 13.4, 10.0], 0, 0.9)))
    assert scores.average_precision("area").mean == 0.0
    scores.add(Boxes.of([A], [0]), detection(([3.2, 0.0, 13.2, 10.0], 0, 0.95)))
    assert scores.average_precision("area").mean == pytest.approx(0.5)


def test_difficult_objects_are_neither_missed_nor_found() -> None:
    scores = DetectionScores(1)
    truth = Boxes.of([A, B], [0, 0], [False, True])
    scores.add(truth, detection((B, 0, 0.9), (A, 0, 0.5)))
    assert scores.average_precision("area").mean == pytest.approx(1.0)
    assert scores.average_precision("voc07").mean == pytest.approx(1.0)


def test_a_detection_of_another_class_does_not_count() -> None:
    scores = DetectionScores(2)
    scores.add(Boxes.of([A, B], [0, 1]), detection((A, 1, 0.9), (B, 1, 0.8)))
    assert scores.average_precision("area").by_class == (0.0, pytest.approx(0.5))


def test_no_objects_and_no_detections() -> None:
    scores = DetectionScores(2)
    scores.add(Boxes.of([], []), detection())
    assert scores.average_precision("area").mean is None
    scores.add(Boxes.of([A], [1]), detection())
    assert scores.average_precision("voc07").by_class == (None, 0.0)


def random_case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]], DetectionScores]:
    """Ground truth and results as COCO's files hold them, and ours of the same; quarters of pixels, which are exact."""
    rng = np.random.default_rng(seed)
    classes, images = 4, 6
    truth: dict[str, Any] = {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": number, "name": str(number)} for number in range(1, classes + 1)],
        "annotations": [],
    }
    found: list[dict[str, Any]] = []
    scores = DetectionScores(classes)
    for image in range(images):
        # class 3 has no object anywhere; one image of two has a crowd
        count = int(rng.integers(0, 9))
        corner, size = rng.integers(0, 240, (count, 2)) / 4, rng.integers(20, 120, (count, 2)) / 4
        kinds, crowds = rng.choice([0, 1, 3], count), rng.random(count) < 0.15
        for place in range(count):
            box = [*corner[place], *size[place]]
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image,
                    "category_id": int(kinds[place]) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(crowds[place]),
                }
            )
        many = int(rng.integers(0, 130)) if image == 0 else int(rng.integers(0, 30))
        of = rng.integers(0, max(1, count), many)
        near = (corner[of], size[of]) if count else (np.zeros((many, 2)), np.ones((many, 2)))
        at, wide = (
            near[0] + rng.integers(-24, 25, (many, 2)) / 4,
            np.maximum(1, near[1] + rng.integers(-16, 17, (many, 2)) / 4),
        )
        named = np.where(rng.random(many) < 0.8, kinds[of] if count else 0, rng.integers(0, classes, many))
        sure = rng.permutation(4096)[:many] / 4096
        found += [
            {"image_id": image, "category_id": int(named[i]) + 1, "bbox": [*at[i], *wide[i]], "score": float(sure[i])}
            for i in range(many)
        ]
        ends = np.concatenate([at, at + wide], axis=1)
        scores.add(
            Boxes.of(np.concatenate([corner, corner + size], axis=1).tolist(), kinds.tolist(), crowds.tolist()),
            Detection(torch.tensor(ends).float(), torch.tensor(named), torch.tensor(sure).float()),
        )
    return truth, found, scores


@pytest.mark.parametrize("seed", range(12))
def test_coco_style_is_that_of_pycocotools_itself(seed: int) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found, scores = random_case(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = truth
        ground.createIndex()
        evaluation = COCOeval(ground, ground.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    result = scores.average_precision("coco")
    assert 0.01 < evaluation.stats[0] < 0.99
    assert result.mean == pytest.approx(evaluation.stats[0], abs=1e-6)
    by_class = evaluation.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    assert [-1 if value is None else value for value in result.by_class] == pytest.approx(by_class.tolist(), abs=1e-6)


def test_coco_style_by_hand() -> None:
    """One object and one detection of IoU 0.72: right at 0.5 to 0.7, five of ten."""
    scores = DetectionScores(1)
    scores.add(Boxes.of([[0.0, 0.0, 10.0, 10.0]], [0]), detection(([0.0, 0.0, 10.0, 7.2], 0, 0.9)))
    assert scores.average_precision("coco").mean == pytest.approx(0.5)
