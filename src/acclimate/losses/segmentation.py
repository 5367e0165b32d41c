"""The supervised loss of source images and of pseudo-labels (ADVENT eq. 1, ESL eq. 4)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from acclimate.labels import VOID
from acclimate.precision import full_precision

Over = Literal["valid", "all"]


def cross_entropy(logits: Tensor, labels: Tensor, *, weights: Tensor | None = None, over: Over = "valid") -> Tensor:
    """Cross-entropy, mean over the pixels that are not void.

    A batch in which every pixel is void contributes zero (with zero gradients) where the plain mean would be NaN.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) int64, train ids in [0, C) or 255 for void.
        weights: (B, H, W), a factor on each pixel's loss (how sure a teacher was); None: 1. They do not change what the
            sum is divided by.
        over: what the sum is divided by: the number of pixels that are not void (``valid``), or of ``all`` pixels, as
            DACS and what builds on it do.

    Returns:
        A scalar in nats; float32, or float64 for logits in float64.
    """
    logits = full_precision(logits)
    if weights is None:
        total = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum")
    else:
        total = (F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none") * weights).sum()
    if over == "all":
        return total / labels.numel()
    return total / (labels != VOID).sum().clamp(min=1)


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """(1 - p)^gamma times the cross-entropy of each pixel, p the probability of its class; mean over valid pixels.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) train ids, void 255.
        gamma: 0 is the cross-entropy.

    Returns:
        A scalar; float32, or float64 for logits in float64; 0 where every pixel is void.
    """
    each = F.cross_entropy(full_precision(logits), labels, ignore_index=VOID, reduction="none")
    if gamma > 0:
        each = each * (1 - (-each).exp()).clamp(min=0).pow(gamma)
    return each.sum() / (labels != VOID).sum().clamp(min=1)
