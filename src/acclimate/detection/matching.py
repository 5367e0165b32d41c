"""Which prior belongs to which object of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_iou

from acclimate.detection.sample import Boxes

SURE = 1e4
"""A logit that leaves no doubt, and so costs nothing."""
BACKGROUND = -1
"""The owner of a prior that belongs to no object."""
NEITHER = -2
"""The owner of a prior that is neither object nor background, as torchvision's RetinaNet has it."""


def without_difficult(boxes: Sequence[Boxes]) -> list[Boxes]:
    """The boxes that are trained on, image by image."""
    return [item.kept(~item.difficult) for item in boxes]


def targets_of(boxes: Sequence[Boxes], *, first: int, device: torch.device) -> list[dict[str, Tensor]]:
    """Boxes as torchvision wants them; ``first`` is the label of the first class."""
    return [{"boxes": item.corners.to(device), "labels": item.classes.to(device) + first} for item in boxes]


def owners_by_overlap(targets: Sequence[dict[str, Tensor]], priors: Tensor, matcher: Any) -> list[Tensor]:
    """For each image the place of every prior's object, (P,), or a negative number.

    Args:
        targets: of :func:`targets_of`.
        priors: (P, 4).
        matcher: torchvision's, from the overlaps of objects and priors to owners.
    """
    none = torch.full((len(priors),), BACKGROUND, dtype=torch.int64, device=priors.device)
    return [matcher(box_iou(target["boxes"], priors)) if len(target["boxes"]) else none.clone() for target in targets]


def unowned_on(owners: Sequence[Tensor], priors: Tensor, boxes: Sequence[Boxes], *, overlap: float) -> Tensor:
    """(B, P): the priors without an object that overlap one of the boxes by so much."""
    masks = []
    for owner, item in zip(owners, boxes, strict=True):
        mask = torch.zeros_like(owner, dtype=torch.bool)
        if len(item):
            mask = (box_iou(item.corners.to(priors.device), priors).amax(dim=0) >= overlap) & (owner < 0)
        masks.append(mask)
    return torch.stack(masks)
