"""MIC: the teacher's labels of a whole image, learned from what is left of it when blocks are hidden.

Hoyer et al. 2023. It is an option of every method that adapts; :class:`acclimate.methods.base.Method` adds its term to
their own.
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from acclimate.data.photometric import STUDENT, Photometric, augmented


class MaskedConsistency(BaseModel):
    """Settings of masked image consistency.

    Attributes:
        weight: lambda_M (1 published).
        ratio: share of the blocks that are hidden (0.7 published).
        block: side of a block in per cent of the image's height (64 of 1024 pixels published).
        strong: how images are changed in colour and blurred before blocks are hidden; null: not at all, as MIC does for
            ACDC and Dark Zurich.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegativeFloat = 1.0
    ratio: float = Field(default=0.7, ge=0.0, le=1.0)
    block: float = Field(default=6.25, gt=0.0, le=100.0)
    strong: Photometric | None = STUDENT


def masked(images: Tensor, options: MaskedConsistency, *, fill: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1], strongly augmented, of which only some blocks are left.

    Args:
        fill: what is hidden becomes this, (1, 3, 1, 1).
    """
    size = (images.shape[2], images.shape[3])
    visible = block_masks(len(images), size, block=options.block, ratio=options.ratio, device=images.device)
    return hidden(augmented(images, options.strong), visible, fill)


def block_masks(
    count: int,
    size: tuple[int, int],
    *,
    block: float,
    ratio: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The pixels that stay visible, (count, H, W) bool: a grid of squares, each of which is hidden by chance.

    The squares start in the top left corner and are cut at the right and lower border. The published code fits a whole
    number of blocks into the image instead, which are not square then.

    Args:
        size: (H, W).
        block: side of a square in per cent of H; 64 pixels of a 1024-pixel crop are 6.25. At least one pixel.
        ratio: chance of each square to be hidden, 0 to 1; drawn from torch's generator on the CPU.
    """
    height, width = size
    side = max(1, round(block / 100 * height))
    grid = (count, math.ceil(height / side), math.ceil(width / side))
    visible = torch.rand(grid, dtype=torch.float32, device="cpu") >= ratio
    squares = visible.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)
    return squares[:, :height, :width].to(device, non_blocking=True)


def hidden(images: Tensor, visible: Tensor, fill: Tensor) -> Tensor:
    """``images`` (B, 3, H, W) with ``fill``, which broadcasts to them, where ``visible`` (B, H, W) is false.

    With the mean colour of a network's preprocessing as ``fill``, what is hidden is 0 after the preprocessing, as in
    the published code.
    """
    return torch.where(visible.unsqueeze(1), images, fill.to(images))
