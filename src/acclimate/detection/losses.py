"""Entropy of a detector's predictions: over all anchors of all maps (MinEnt), and as maps for a discriminator (AdvEnt).

ADVENT appendix A speaks of a softmax; what stands for it where every class has a sigmoid is a choice of ours. Pure
functions; ``maps`` are the shapes of the feature maps, whose anchors follow each other in the order map, row, column,
anchor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.losses import weighted_self_information
from acclimate.precision import full_precision

Reduction = Literal["mean", "sum"]
Padding = Literal["corner", "centred"]


class MapShape(NamedTuple):
    """A feature map's height, width and number of anchors per cell."""

    height: int
    width: int
    anchors: int

    @property
    def priors(self) -> int:
        return self.height * self.width * self.anchors


def box_self_information(logits: Tensor, *, background: bool = True) -> Tensor:
    """-P log P / log C of every anchor.

    Args:
        logits: (B, P, C), the background first.
        background: whether it is one of the C classes; otherwise the distribution over the others alone.

    Returns:
        (B, P, C) or (B, P, C - 1), non-negative.
    """
    seen = logits if background else logits[..., 1:]
    return weighted_self_information(seen.transpose(1, 2)).transpose(1, 2)


def per_class_self_information(logits: Tensor) -> Tensor:
    """-P log P of yes and of no, class by class, divided by C log 2, of every anchor.

    The counterpart of :func:`box_self_information` for C sigmoids: what may turn out is not one of C classes but yes or
    no for each of them. Over all 2C the sum is the mean of C binary entropies, each divided by its largest value.

    Args:
        logits: (B, P, C).

    Returns:
        (B, P, 2C), non-negative: first yes for every class, then no.
    """
    logits = full_precision(logits)
    both = torch.cat([logits, -logits], dim=-1)
    return both.sigmoid() * functional.logsigmoid(both) / (-logits.shape[-1] * math.log(2))


def box_entropy(information: Tensor) -> Tensor:
    """The normalised entropy of every anchor, (B, P) in [0, 1], of its self-information (B, P, n) (ADVENT eq. 11)."""
    return information.sum(dim=2)


def box_entropy_loss(information: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The entropy over all anchors of all maps (ADVENT eq. 12), mean over the images of the batch.

    Eq. 12 sums. ``mean`` also divides by the number of anchors (8,732 in SSD-300), as the segmentation loss divides by
    the number of pixels; the two differ by that factor in the weight only.

    Args:
        information: (B, P, n), self-information of every anchor.
        reduction: over anchors.
    """
    entropy = box_entropy(information)
    per_image = entropy.sum(dim=1) if reduction == "sum" else entropy.mean(dim=1)
    return per_image.mean()


def stacked_maps(values: Tensor, maps: Sequence[MapShape], *, padding: Padding = "corner") -> Tensor:
    """Per-anchor values as channels of one map: lower resolutions zero-padded to the first map's size.

    Args:
        values: (B, P, C).
        maps: the largest first.
        padding: where a smaller map lies in the largest: at the top left corner, or in the middle (an odd row or
            column more goes below or right).

    Returns:
        (B, C * sum of anchors per cell, h, w) with h, w of the first map: 270 x 38 x 38 for SSD-300 with C = 9.
        Channels are ordered by map, then anchor, then class.
    """
    height, width = maps[0].height, maps[0].width
    batch, _, classes = values.shape
    stacked = []
    for part, shape in zip(torch.split(values, [shape.priors for shape in maps], dim=1), maps, strict=True):
        grid = part.reshape(batch, shape.height, shape.width, shape.anchors * classes).permute(0, 3, 1, 2)
        below, right = height - shape.height, width - shape.width
        top, left = (below // 2, right // 2) if padding == "centred" else (0, 0)
        stacked.append(functional.pad(grid, (left, right - left, top, below - top)))
    return torch.cat(stacked, dim=1)
