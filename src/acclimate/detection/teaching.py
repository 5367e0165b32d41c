"""From a teacher's detections to pseudo-labels: which boxes of a class are kept, and which may be objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from acclimate.detection.detector import Detection
from acclimate.detection.sample import Boxes

BINS = 100
MEMORY = 0.98
"""Of the counts behind thresholds: what lies fifty steps back counts a third."""


class PseudoBoxes(NamedTuple):
    """What a teacher says of a batch of images.

    Attributes:
        kept: one per image: the boxes that are taken for objects.
        uncertain: one per image: those that may be objects.
    """

    kept: list[Boxes]
    uncertain: list[Boxes]


class ClassThresholds(nn.Module):
    """For each class the score above which there are as many boxes per target image as objects per source image.

    The idea of LabelMatch (Chen et al. 2022): how often a class occurs is known from the source, how sure a detector is
    of it is not. Counts are moving averages over steps; as both begin at 0, their ratio is right from the first.

    Args:
        classes: without the background.
        least: no threshold is lower.
    """

    scores: Tensor
    expected: Tensor

    def __init__(self, classes: int, *, least: float) -> None:
        super().__init__()
        self.least = least
        self.register_buffer("scores", torch.zeros(classes, BINS))
        self.register_buffer("expected", torch.zeros(classes))

    @torch.no_grad()
    def see(self, source: Sequence[Boxes], found: Sequence[Detection]) -> None:
        """Counts the objects of source images and the detections in target images by class (and score)."""
        classes = len(self.expected)
        objects = torch.zeros(classes)
        for item in source:
            objects += torch.bincount(item.classes[~item.difficult], minlength=classes)
        counted = torch.zeros(classes, BINS)
        for each in found:
            bins = (each.scores.cpu() * BINS).long().clamp(0, BINS - 1)
            counted += torch.bincount(each.classes.cpu() * BINS + bins, minlength=classes * BINS).view(classes, BINS)
        self.expected.lerp_((objects / len(source)).to(self.expected.device), 1.0 - MEMORY)
        self.scores.lerp_((counted / len(found)).to(self.scores.device), 1.0 - MEMORY)

    def passing(self, share: float) -> Tensor:
        """(classes,): the highest multiple of 0.01, not below ``least``, that lets enough boxes pass.

        Args:
            share: how many, as a multiple of the source's objects.
        """
        passing = self.scores.flip(1).cumsum(1).flip(1)
        enough = passing >= share * self.expected[:, None]
        places = torch.arange(BINS, device=enough.device).expand_as(enough)
        highest = torch.where(enough, places, 0).amax(dim=1)
        return (highest / BINS).clamp(min=self.least)


def pseudo_boxes(found: Sequence[Detection], thresholds: Tensor, *, uncertain: Tensor) -> PseudoBoxes:
    """The detections from their class's threshold on, and those from ``uncertain`` to it; both (classes,)."""
    kept: list[Boxes] = []
    doubtful: list[Boxes] = []
    for each in found:
        sure, doubted = (each.scores >= least.to(each.scores.device)[each.classes] for least in (thresholds, uncertain))
        for which, boxes in ((sure, kept), (doubted & ~sure, doubtful)):
            classes = each.classes[which].cpu()
            boxes.append(Boxes(each.boxes[which].float().cpu(), classes, torch.zeros_like(classes, dtype=torch.bool)))
    return PseudoBoxes(kept, doubtful)


def erased(images: Tensor, rectangles: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image with that many grey rectangles of 2 to 10 % of its area, aspect ratio 1/3 to 3, and where they are.

    Args:
        images: (B, 3, H, W), not changed in place.
        rectangles: per image; 0 returns the same tensor and draws nothing.
        rng: places and sizes are drawn from here.

    Returns:
        The images, and (B, H, W): True in a rectangle.
    """
    count, _, height, width = images.shape
    covered = torch.zeros(count, height, width, dtype=torch.bool)
    if rectangles == 0:
        return images, covered
    for place in covered:
        for _ in range(rectangles):
            area, ratio = height * width * rng.uniform(0.02, 0.1), np.exp(rng.uniform(-np.log(3), np.log(3)))
            h, w = min(height, round(float(np.sqrt(area * ratio)))), min(width, round(float(np.sqrt(area / ratio))))
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            place[top : top + h, left : left + w] = True
    return torch.where(covered[:, None].to(images.device), 0.5, images), covered


def seen_boxes(labels: PseudoBoxes, covered: Tensor) -> PseudoBoxes:
    """The labels for pictures that are partly covered: a box of which more than half is hidden becomes uncertain.

    Else the student learns that grey rectangles are persons: a small object often lies under one as a whole.

    Args:
        labels: of a batch.
        covered: (B, H, W), True where nothing is to be seen.
    """
    height, width = covered.shape[-2:]
    kept: list[Boxes] = []
    uncertain: list[Boxes] = []
    for mask, sure, doubtful in zip(covered, labels.kept, labels.uncertain, strict=True):
        hidden = torch.zeros(len(sure), dtype=torch.bool)
        for which, corners in enumerate(sure.corners.round().long().tolist()):
            x0, y0 = min(max(corners[0], 0), width - 1), min(max(corners[1], 0), height - 1)
            part = mask[y0 : max(corners[3], y0 + 1), x0 : max(corners[2], x0 + 1)]
            hidden[which] = part.float().mean() > 0.5
        kept.append(sure.kept(~hidden))
        uncertain.append(doubtful.joined(sure.kept(hidden)))
    return PseudoBoxes(kept, uncertain)
