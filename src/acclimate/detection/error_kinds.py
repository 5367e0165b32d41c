"""What a detector's mistakes are: objects missed, found twice, called something else, boxed badly, or not there at all.

The kinds are those of TIDE (Bolya et al. 2020), counted over the most certain detections of each class, as many as it
has objects (Hoiem et al. 2012): so detectors whose scores lie elsewhere are compared at the same number of detections,
and without a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from acclimate.detection.detector import Detection
from acclimate.detection.sample import Boxes
from acclimate.evaluation.box_scores import ErrorCounts

NEAR = 0.1
"""IoU from which a box that is not right is about an object (TIDE)."""


class _Judged(NamedTuple):
    """A detection that counts: its score, what it is, and the object it is about."""

    score: float
    kind: str
    image: int
    about: int | None


def errors_by_kind(
    truths: Sequence[Boxes], found: Sequence[Detection], *, classes: int, iou: float = 0.5
) -> tuple[ErrorCounts, ...]:
    """Counts of each class over all images.

    The most certain detections of a class, as many as it has objects in all images, are each

    * right: the object of its class that it overlaps most, among those that no more certain detection took, has at
      least ``iou`` (the matching of AP),
    * a duplicate: an object of its class has at least ``iou``, but is taken,
    * of the wrong class: else an object of another class has at least ``iou``,
    * localised badly: else an object of its class has at least 0.1,
    * of the background: else.

    Missed are the objects that no right detection took and no wrong class and no bad localisation is about. Difficult
    objects are not counted, nor are detections that only they explain.

    Args:
        truths: one per image.
        found: one per image, in pixels of the same size.
        classes: how many there are.
        iou: least of a right detection.
    """
    judged: list[list[_Judged]] = [[] for _ in range(classes)]
    objects = torch.zeros(classes, dtype=torch.int64)
    for number, (truth, detection) in enumerate(zip(truths, found, strict=True)):
        objects += torch.bincount(truth.classes[~truth.difficult], minlength=classes)
        overlaps = box_iou(detection.boxes, truth.corners)
        for place in range(classes):
            judged[place] += _judge(truth, detection, overlaps, place, image=number, iou=iou)
    counts = [dict.fromkeys(ErrorCounts.model_fields, 0) for _ in range(classes)]
    seen: set[tuple[int, int]] = set()
    for place, each in enumerate(judged):
        for item in sorted(each, key=lambda one: -one.score)[: int(objects[place])]:
            counts[place][item.kind] += 1
            if item.about is not None and item.kind != "duplicate":
                seen.add((item.image, item.about))
    for number, truth in enumerate(truths):
        for own, (place, difficult) in enumerate(zip(truth.classes.tolist(), truth.difficult.tolist(), strict=True)):
            counts[place]["missed"] += not difficult and (number, own) not in seen
    return tuple(ErrorCounts(**{**count, "objects": int(objects[place])}) for place, count in enumerate(counts))


def _judge(
    truth: Boxes, detection: Detection, overlaps: Tensor, place: int, *, image: int, iou: float
) -> list[_Judged]:
    """The detections of one class in one image, without those that only a difficult object explains."""
    own = truth.classes == place
    easy, difficult = own & ~truth.difficult, own & truth.difficult
    free, judged = easy.clone(), []
    mine = torch.nonzero(detection.classes == place).flatten()
    for which in mine[np.argsort(-detection.scores[mine].numpy(), kind="stable")].tolist():
        row = overlaps[which]
        score = float(detection.scores[which])
        for kind, among, least in (
            ("right", free, iou),
            ("", difficult, iou),
            ("duplicate", easy, iou),
            ("wrong_class", ~own, iou),
            ("localisation", easy, NEAR),
        ):
            best = torch.where(among, row, -1.0)
            if len(best) and float(best.max()) >= least:
                about = int(best.argmax())
                if kind == "right":
                    free[about] = False
                if kind:
                    judged.append(_Judged(score, kind, image, about))
                break
        else:
            judged.append(_Judged(score, "background", image, None))
    return judged
