"""How much a teacher's labels count: by how sure it is, and where in the picture (DACS, DAFormer)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

ConfidencePer = Literal["pixel", "image", "batch", "none"]
"""Over what confidence is judged; ``none``: every pixel counts in full."""


class Margins(BaseModel):
    """Edges of the picture in which a teacher is not believed, in per cent of its height (top, bottom) or width.

    A rectified picture has a rim without content, and the lower part of a car's camera shows the car itself. They are
    edges of what the network sees: a random crop smaller than the picture has other edges.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: float = Field(default=0.0, ge=0.0, lt=100.0)
    bottom: float = Field(default=0.0, ge=0.0, lt=100.0)
    left: float = Field(default=0.0, ge=0.0, lt=100.0)
    right: float = Field(default=0.0, ge=0.0, lt=100.0)


def confidence_weights(confidence: Tensor, *, threshold: float, per: ConfidencePer) -> Tensor:
    """The weight of each pixel's label, (B, H, W) in the dtype of ``confidence``.

    Args:
        confidence: (B, H, W) probability of the most probable class.
        threshold: a pixel is sure from here on (0.968 published).
        per: ``pixel``, 1 where it is sure and 0 elsewhere; ``image``, the share of sure pixels in its image;
            ``batch``, their share in all images together, one number, as published; ``none``, 1.
    """
    if per == "none":
        return torch.ones_like(confidence)
    sure = (confidence >= threshold).to(confidence.dtype)
    if per == "pixel":
        return sure
    share = sure.mean(dim=(1, 2), keepdim=True) if per == "image" else sure.mean()
    return share.expand_as(confidence)


def inside_margins(size: tuple[int, int], margins: Margins, *, device: torch.device | str = "cpu") -> Tensor:
    """(H, W) bool, false in the margins; each margin is rounded to whole rows and columns."""
    height, width = size
    inside = torch.zeros(size, dtype=torch.bool)
    top, bottom = round(margins.top / 100 * height), round(margins.bottom / 100 * height)
    left, right = round(margins.left / 100 * width), round(margins.right / 100 * width)
    inside[top : height - bottom, left : width - right] = True
    return inside.to(device)
