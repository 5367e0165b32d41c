"""Errors by kind against cases worked out by hand, and what must hold of the counts of any detections."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from acclimate.detection.average_precision import DetectionScores
from acclimate.detection.detector import Detection
from acclimate.detection.error_kinds import errors_by_kind
from acclimate.detection.sample import Boxes
from acclimate.evaluation.box_scores import ErrorCounts

A, B, C = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [40.0, 0.0, 50.0, 10.0]
ELSEWHERE = [80.0, 80.0, 90.0, 90.0]
BESIDE_A = [5.0, 0.0, 15.0, 10.0]  # IoU with A: 5 * 10 / (2 * 100 - 50) = 1/3
CAR, PERSON = 0, 1


def found(*each: tuple[list[float], int, float]) -> Detection:
    boxes, classes, scores = zip(*each, strict=True) if each else ((), (), ())
    return Detection(torch.tensor(boxes).reshape(-1, 4), torch.tensor(classes).long(), torch.tensor(scores).float())


def kinds(counts: ErrorCounts) -> dict[str, int]:
    return {name: value for name, value in counts.model_dump().items() if value and name != "objects"}


def counted(truth: Boxes, detection: Detection) -> list[dict[str, int]]:
    return [kinds(each) for each in errors_by_kind([truth], [detection], classes=2)]


def test_each_kind() -> None:
    cars = Boxes.of([A, B, C], [CAR, CAR, PERSON])
    assert counted(cars, found((A, CAR, 0.9), (B, CAR, 0.8), (C, PERSON, 0.7))) == [{"right": 2}, {"right": 1}]
    # A twice: B is missed
    assert counted(cars, found((A, CAR, 0.9), (A, CAR, 0.8)))[0] == {"right": 1, "duplicate": 1, "missed": 1}
    # the person is called a car, and so not missed; B is
    assert counted(cars, found((A, CAR, 0.9), (C, CAR, 0.8))) == [{"right": 1, "wrong_class": 1, "missed": 1}, {}]
    # a third of A is covered: it is not missed, B is
    assert counted(cars, found((BESIDE_A, CAR, 0.9)))[0] == {"localisation": 1, "missed": 1}
    assert counted(cars, found((ELSEWHERE, CAR, 0.9)))[0] == {"background": 1, "missed": 2}
    assert counted(cars, found()) == [{"missed": 2}, {"missed": 1}]


def test_as_many_detections_count_as_there_are_objects_in_all_images() -> None:
    truths = [Boxes.of([A], [CAR]), Boxes.of([], [])]
    certain = [found((A, CAR, 0.3), (ELSEWHERE, CAR, 0.2)), found((B, CAR, 0.9))]
    # one car in all: the most certain detection is that of the second image, where there is none
    assert kinds(errors_by_kind(truths, certain, classes=1)[0]) == {"background": 1, "missed": 1}
    certain[1] = found((B, CAR, 0.1))
    assert kinds(errors_by_kind(truths, certain, classes=1)[0]) == {"right": 1}


def test_difficult_objects_count_neither_way() -> None:
    truth = Boxes.of([A, B], [CAR, CAR], [False, True])
    counts = errors_by_kind([truth], [found((B, CAR, 0.9), (A, CAR, 0.5))], classes=1)[0]
    assert counts.objects == 1
    assert kinds(counts) == {"right": 1}  # the detection of the difficult one is passed over, not counted
    assert kinds(errors_by_kind([truth], [found((B, CAR, 0.9))], classes=1)[0]) == {"missed": 1}


def test_the_more_certain_detection_takes_the_object_whatever_the_order() -> None:
    truth = Boxes.of([A, B], [CAR, CAR])
    shifted = [1.0, 0.0, 11.0, 10.0]
    for detections in ([(shifted, CAR, 0.9), (A, CAR, 0.8)], [(A, CAR, 0.8), (shifted, CAR, 0.9)]):
        assert counted(truth, found(*detections))[0] == {"right": 1, "duplicate": 1, "missed": 1}


@pytest.mark.parametrize("seed", range(20))
def test_counts_add_up_and_agree_with_precision_at_their_number(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def corners(count: int) -> Tensor:
        start = torch.rand(count, 2, generator=generator) * 40
        return torch.cat([start, start + 5 + torch.rand(count, 2, generator=generator) * 25], dim=1)

    truths, detections, scores = [], [], DetectionScores(3)
    for _ in range(5):
        objects, guesses = (int(torch.randint(0, 8, (), generator=generator)) for _ in range(2))
        truth = Boxes(
            corners(objects),
            torch.randint(0, 3, (objects,), generator=generator),
            torch.rand(objects, generator=generator) < 0.2,
        )
        near = torch.cat([truth.corners + torch.randn(objects, 4, generator=generator), corners(guesses)])
        classes = torch.cat([truth.classes, torch.randint(0, 3, (guesses,), generator=generator)])
        guess = Detection(near, classes, torch.rand(len(near), generator=generator))
        truths.append(truth)
        detections.append(guess)
        scores.add(truth, guess)
    for counts, curve in zip(
        errors_by_kind(truths, detections, classes=3), scores.precisions([0.0, 0.25, 0.5, 0.75, 1.0]), strict=True
    ):
        assert (curve is None) == (counts.objects == 0)
        looked_at = counts.right + counts.duplicate + counts.wrong_class + counts.localisation + counts.background
        assert looked_at <= counts.objects
        assert counts.right + counts.missed <= counts.objects
        if curve is not None and looked_at == counts.objects:
            # at that many detections precision and recall are both right / objects, and curves are never below
            recall = counts.right / counts.objects
            beyond = [value for at, value in zip([0.0, 0.25, 0.5, 0.75, 1.0], curve, strict=True) if at <= recall]
            assert all(value >= recall - 1e-9 for value in beyond)


def test_curves_by_hand() -> None:
    # in order of certainty right, wrong, right, of two objects: precision 1 up to recall 1/2, then 2/3
    scores = DetectionScores(2)
    scores.add(Boxes.of([A, B], [CAR, CAR]), found((A, CAR, 0.9), (ELSEWHERE, CAR, 0.8), (B, CAR, 0.7)))
    first, second = scores.precisions([0.0, 0.5, 0.6, 1.0])
    assert first == pytest.approx((1.0, 1.0, 2 / 3, 2 / 3))
    assert second is None
