"""Bilinear enlargement of logits and features."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def upsample(logits: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Bilinear interpolation of a (B, C, h, w) map to ``size`` = (H, W), in float32.

    Aligned corners are what all reference code does; without them their checkpoints lose about 1.5 points of mIoU.
    Always float32: what follows are softmax, logarithms and losses, which bfloat16 is too coarse for.
    """
    return functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=align_corners)
