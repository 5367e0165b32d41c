"""The supervised loss of source images and of pseudo-labels (ADVENT eq. 1, ESL eq. 4)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from acclimate.labels import VOID
from acclimate.precision import full_precision


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, mean over the pixels that are not void.

    A batch in which every pixel is void contributes zero (with zero gradients) where the plain mean would be NaN.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) int64, train ids in [0, C) or 255 for void.

    Returns:
        A scalar in nats; float32, or float64 for logits in float64.
    """
    total = F.cross_entropy(full_precision(logits), labels, ignore_index=VOID, reduction="sum")
    return total / (labels != VOID).sum().clamp(min=1)
