"""Images padded until a network can take them, and its maps cut again to what was there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision


def padded(images: Tensor, multiple: int) -> Tensor:
    """Preprocessed images (B, 3, H, W) with zeros, the mean colour, to the right and below up to multiples."""
    height, width = images.shape[-2:]
    return functional.pad(images, (0, -width % multiple, 0, -height % multiple))


def cut(maps: Tensor, size: tuple[int, int], *, whole: tuple[int, int]) -> Tensor:
    """The part of maps (B, C, h, w) of a padded image that shows the image itself.

    Sides are rounded up. Where the image does not end at a position's edge, positions are interpolated so that the
    result covers the image and nothing else: a map of stride 14 would otherwise be wrong by up to 13 pixels.

    Args:
        maps: what a network said of the padded image.
        size: (H, W) of the image in pixels.
        whole: the same of the padded image.
    """
    if not torch.compiler.is_compiling() and size == whole:
        return maps
    # -(-a // b) is a / b rounded up
    height, width = (-(-pixels * side // all_pixels) for pixels, side, all_pixels in zip(size, maps.shape[2:], whole))  # noqa: B905
    ends_at_an_edge = not torch.compiler.is_compiling() and all(
        pixels * side % all_pixels == 0 for pixels, side, all_pixels in zip(size, maps.shape[2:], whole, strict=True)
    )
    if ends_at_an_edge:
        return maps[:, :, :height, :width]
    rows = _centres(height, size[0], whole[0], maps.device)[:, None].expand(height, width)
    columns = _centres(width, size[1], whole[1], maps.device)[None, :].expand(height, width)
    grid = torch.stack([columns, rows], dim=-1).expand(maps.shape[0], height, width, 2)
    values = full_precision(maps)
    return functional.grid_sample(values, grid.to(values.dtype), padding_mode="border", align_corners=False)


def _centres(count: int, pixels: int, whole: int, device: torch.device) -> Tensor:
    """Where the centres of ``count`` equal parts of the first ``pixels`` of ``whole`` lie, from -1 to 1."""
    return (2 * torch.arange(count, device=device) + 1) * (pixels / (count * whole)) - 1
