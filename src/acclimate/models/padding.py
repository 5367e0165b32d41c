"""Images padded until a network can take them, and its maps cut again to what was there."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision


def padded(images: Tensor, multiple: int) -> Tensor:
    """Preprocessed images (B, 3, H, W) with zeros, the mean colour, to the right and below up to multiples."""
    if multiple == 1:
        return images
    height, width = images.shape[-2:]
    return functional.pad(images, (0, -width % multiple, 0, -height % multiple))


def cut(maps: Tensor, size: tuple[int, int], *, stride: float) -> Tensor:
    """The part of maps (B, C, h, w) of a padded image that shows the image itself.

    Sides are rounded up. Where the image does not end at a position's edge, positions are interpolated so that the
    result covers the image and nothing else: a map of stride 14 would otherwise be wrong by up to 13 pixels.

    Args:
        maps: what a network said of the padded image.
        size: (H, W) of the image in pixels.
        stride: input pixels per position, perhaps a fraction such as 14 / 4.
    """
    for dimension, pixels in enumerate(size, start=2):
        maps = _cut_side(maps, dimension, pixels=pixels, stride=Fraction(stride).limit_denominator(64))
    return maps


def _cut_side(maps: Tensor, dimension: int, *, pixels: int, stride: Fraction) -> Tensor:
    side = maps.shape[dimension]
    scaled, step = pixels * stride.denominator, stride.numerator
    # exported models are for images of any size: they always interpolate, and round quotients of positive numbers only
    count = (scaled + step - 1) // step
    if not torch.compiler.is_compiling() and scaled % step == 0:
        return maps if count == side else maps.narrow(dimension, 0, count)
    # centres of equal parts of the image, in positions of the map
    parts = torch.arange(count, device=maps.device, dtype=torch.float32)
    centres = ((parts + 0.5) * (scaled / (count * step)) - 0.5).clamp(0, side - 1)
    before = centres.floor().long()
    after = (before + 1).clamp(max=side - 1)
    values = full_precision(maps)
    share = (centres - before).to(values).view(-1, *[1] * (3 - dimension))
    return torch.lerp(values.index_select(dimension, before), values.index_select(dimension, after), share)
