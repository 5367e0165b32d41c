"""The amplitudes of an image's lowest frequencies, which hold its colours and light, exchanged for another image's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision


def with_low_amplitudes_of(images: Tensor, others: Tensor, *, band: float, shorter_side: bool = True) -> Tensor:
    """Images whose lowest frequencies have the others' amplitudes and keep their own phases (FDA).

    The window of frequencies is symmetric, -b to b along each axis, the mean colour among them. What comes out is not
    clipped.

    Args:
        images: (B, 3, H, W).
        others: (B, 3, h, w), resized to (H, W) where they differ.
        band: L, b as a share of a side, rounded down.
        shorter_side: the same b along both axes, by the shorter one (FDA's code); otherwise each axis its own (its
            text).

    Returns:
        (B, 3, H, W); float32, or float64 for images in float64.
    """
    images, others = full_precision(images), full_precision(others)
    height, width = images.shape[-2:]
    if others.shape[-2:] != images.shape[-2:]:
        others = functional.interpolate(
            others, size=(height, width), mode="bilinear", align_corners=False, antialias=True
        )
    sides = (min(height, width),) * 2 if shorter_side else (height, width)
    reach = [int(band * side) for side in sides]
    rows = torch.fft.fftfreq(height, 1 / height, device=images.device).abs() <= reach[0]
    columns = torch.fft.rfftfreq(width, 1 / width, device=images.device) <= reach[1]
    spectrum, amplitudes = torch.fft.rfft2(images), torch.fft.rfft2(others).abs()
    mixed = torch.polar(torch.where(rows[:, None] & columns, amplitudes, spectrum.abs()), spectrum.angle())
    restyled: Tensor = torch.fft.irfft2(mixed, s=(height, width))
    return restyled
