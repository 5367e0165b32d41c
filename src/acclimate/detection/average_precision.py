"""Average precision by class, computed by pycocotools, in the styles detection papers use."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from acclimate.detection.detector import Detection
from acclimate.detection.sample import Boxes

Style = Literal["voc07", "area", "coco"]
"""``voc07``: the mean of the interpolated precision at recalls 0, 0.1, ..., 1. ``area``: the area under the
interpolated precision over recall (VOC from 2010 on). ``coco``: the mean at recalls 0, 0.01, ..., 1, over the IoUs 0.5,
0.55, ..., 0.95, of the 100 most certain detections of each class and image. Interpolated: the highest precision at that
recall or beyond."""

COCO_IOUS = np.linspace(0.5, 0.95, 10)
COCO_RECALLS = np.linspace(0.0, 1.0, 101)
COCO_DETECTIONS = 100
_EASY, _DIFFICULT = 1.0, 1e12


@dataclass(frozen=True)
class AveragePrecision:
    """AP of each class, None where the ground truth has no object of it, and their plain mean."""

    by_class: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """mAP over the classes that occur; None if none does."""
        known = [value for value in self.by_class if value is not None]
        return sum(known) / len(known) if known else None


class DetectionScores:
    """Collects detections and ground truth, image by image.

    Args:
        classes: number of classes.
        iou: least IoU of a correct detection; the style ``coco`` has its own ten.
    """

    def __init__(self, classes: int, *, iou: float = 0.5) -> None:
        self.classes, self.iou = classes, iou
        self._images = 0
        self._truths: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(self, truth: Boxes, found: Detection) -> None:
        """Adds an image; both in pixels of the same size.

        A detection takes the object of its class it overlaps most among those still free (COCO's matching, most
        certain detections first). One that only fits a difficult object counts neither as right nor as wrong; in the
        style ``coco`` difficult objects are crowds, of which a detection need only lie within.
        """
        self._images += 1
        for (x0, y0, x1, y1), place, difficult in zip(
            truth.corners.tolist(), truth.classes.tolist(), truth.difficult.tolist(), strict=True
        ):
            self._truths.append(
                {
                    "id": len(self._truths) + 1,
                    "image_id": self._images,
                    "category_id": place + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    # pycocotools leaves out what is outside the range of areas: so difficult objects are ignored
                    "area": _DIFFICULT if difficult else _EASY,
                    "iscrowd": 0,
                }
            )
        for (x0, y0, x1, y1), place, score in zip(
            found.boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True
        ):
            self._found.append(
                {
                    "id": len(self._found) + 1,
                    "image_id": self._images,
                    "category_id": place + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": _EASY,
                    "score": score,
                }
            )

    def average_precision(self, style: Style) -> AveragePrecision:
        """AP of each class over all images added so far."""
        counts = [0] * self.classes
        for each in self._truths:
            if each["area"] == _EASY:
                counts[each["category_id"] - 1] += 1
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._evaluated(style)
            values = [
                self._class_ap(evaluation, place, count, style) if count else None for place, count in enumerate(counts)
            ]
        return AveragePrecision(tuple(values))

    def precisions(self, recalls: Sequence[float]) -> list[tuple[float, ...] | None]:
        """For each class the highest precision at each recall or beyond it; None without objects."""
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._evaluated("area")
            parameters = copy.copy(evaluation.params)
            parameters.recThrs = np.asarray(recalls)
            evaluation.accumulate(parameters)
        values = evaluation.eval["precision"][0, :, :, 0, 0]
        # pycocotools writes -1 where there is nothing to find
        return [None if min(column) < 0 else tuple(column) for column in values.T.tolist()]

    def _evaluated(self, style: Style) -> Any:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        categories = [{"id": place + 1, "name": str(place)} for place in range(self.classes)]
        images = [{"id": number + 1} for number in range(self._images)]
        sets = []
        for content in (self._truths, self._found):
            coco = COCO()
            coco.dataset = {"images": images, "categories": categories, "annotations": copy.deepcopy(content)}
            for each in coco.dataset["annotations"] if style == "coco" else []:
                each["iscrowd"], each["area"] = int(each["area"] == _DIFFICULT), _EASY
            coco.createIndex()
            sets.append(coco)
        evaluation = COCOeval(*sets, iouType="bbox")
        parameters = evaluation.params
        parameters.iouThrs = COCO_IOUS if style == "coco" else np.array([self.iou])
        parameters.areaRng, parameters.areaRngLbl = [[0, 2 * _EASY]], ["all"]
        parameters.maxDets = [COCO_DETECTIONS if style == "coco" else max(1, len(self._found))]
        evaluation.evaluate()
        return evaluation

    def _class_ap(self, evaluation: Any, place: int, count: int, style: Style) -> float:
        parameters = copy.copy(evaluation.params)
        if style == "coco":
            parameters.recThrs = COCO_RECALLS
        elif style == "voc07":
            parameters.recThrs = np.linspace(0.0, 1.0, 11)
        else:  # precision changes only where recall does, at multiples of 1 / count: their mean is the area
            parameters.recThrs = np.arange(1, count + 1) / count
        evaluation.accumulate(parameters)
        precision: Sequence[float] = evaluation.eval["precision"][:, :, place, 0, 0]
        return float(np.mean(precision))
