"""Entropy of a detector's predictions: over all anchors of all maps (MinEnt), and as maps for a discriminator (AdvEnt).

ADVENT appendix A. Pure functions; ``maps`` are the shapes of the feature maps, whose anchors follow each other in the
order map, row, column, anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.losses import weighted_self_information

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


def box_entropy(logits: Tensor, *, background: bool = True) -> Tensor:
    """The normalised entropy of every anchor, (B, P) in [0, 1] (ADVENT eq. 11)."""
    return box_self_information(logits, background=background).sum(dim=2)


def box_entropy_loss(logits: Tensor, *, reduction: Reduction = "mean", background: bool = True) -> Tensor:
    """The entropy over all anchors of all maps (ADVENT eq. 12), mean over the images of the batch.

    Eq. 12 sums. ``mean`` also divides by the number of anchors (8,732 in SSD-300), as the segmentation loss divides by
    the number of pixels; the two differ by that factor in the weight only.
    """
    entropy = box_entropy(logits, background=background)
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
