"""Which parts of an image masked consistency hides (MIC section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
    visible = torch.rand(count, math.ceil(height / side), math.ceil(width / side)) >= ratio
    squares = visible.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)
    return squares[:, :height, :width].to(device)


def hidden(images: Tensor, visible: Tensor, fill: Tensor) -> Tensor:
    """``images`` (B, 3, H, W) with ``fill``, which broadcasts to them, where ``visible`` (B, H, W) is false.

    With the mean colour of a network's preprocessing as ``fill``, what is hidden is 0 after the preprocessing, as in
    the published code.
    """
    return torch.where(visible.unsqueeze(1), images, fill.to(images))
