"""Bilinear enlargement of logits and features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision


def upsample(logits: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Bilinear interpolation of a (B, C, h, w) map to ``size`` = (H, W), in float32 (or float64).

    Aligned corners are what all reference code does; without them their checkpoints lose about 1.5 points of mIoU.
    Never in half precision: what follows are softmax, logarithms and losses, which bfloat16 is too coarse for.
    """
    return functional.interpolate(full_precision(logits), size=size, mode="bilinear", align_corners=align_corners)


def enlarged_rows(low: Tensor, rows: range, size: tuple[int, int], align_corners: bool = True) -> Tensor:
    """Some rows of the bilinear enlargement of (B, C, h, w) to ``size``, (B, C, len(rows), W)."""
    source_height, height = low.shape[2], size[0]
    positions = torch.tensor(rows, dtype=torch.float64)
    if align_corners:
        positions = positions * ((source_height - 1) / (height - 1) if height > 1 else 0.0)
    else:
        positions = ((positions + 0.5) * (source_height / height) - 0.5).clamp_(0, source_height - 1)
    above = positions.floor().long().clamp_(0, source_height - 1)
    below = (above + 1).clamp_(max=source_height - 1)
    share = (positions - above).to(low).view(1, 1, -1, 1)
    above, below = above.to(low.device), below.to(low.device)
    tall = torch.lerp(low.index_select(2, above), low.index_select(2, below), share)
    return functional.interpolate(tall, size=(len(rows), size[1]), mode="bilinear", align_corners=align_corners)
