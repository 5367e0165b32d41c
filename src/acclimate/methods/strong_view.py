"""The strong view of target images that ProDA learns on: mirrored by chance, other colours, a hidden square.

What is drawn comes from torch's generator on the CPU, which the training loop seeds for every step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from acclimate.data.photometric import Photometric, augmented
from acclimate.methods.masked_consistency import hidden


class StrongView(NamedTuple):
    """Images as the student sees them, and how to bring what is known of the weak view to their places.

    Attributes:
        images: (B, 3, H, W) in [0, 1].
        mirrored: (B,) bool, which of them are left to right.
        visible: (B, H, W) bool, false in the hidden squares.
    """

    images: Tensor
    mirrored: Tensor
    visible: Tensor

    def turned(self, maps: Tensor) -> Tensor:
        """Maps of the weak view, (B, ..., w) of any size, mirrored where the images are."""
        return torch.where(self.mirrored.view(-1, *[1] * (maps.dim() - 1)), maps.flip(-1), maps)

    def visible_at(self, size: tuple[int, int]) -> Tensor:
        """(B, h, w) bool: :attr:`visible` at the places of a map of ``size`` (h, w) with aligned corners."""
        return at_places(self.visible, size)


def strong_view(images: Tensor, *, strong: Photometric | None, cutout: float, fill: Tensor) -> StrongView:
    """The strong view of images (B, 3, H, W) in [0, 1].

    Args:
        strong: colours and blur; None: none.
        cutout: side of the hidden square, as a share of the shorter side.
        fill: what is hidden becomes this, (1, 3, 1, 1).
    """
    mirrored = (torch.rand(len(images), dtype=torch.float32, device="cpu") < 0.5).to(images.device, non_blocking=True)
    visible = _without_square(len(images), (images.shape[-2], images.shape[-1]), cutout)
    visible = visible.to(images.device, non_blocking=True)
    view = StrongView(images, mirrored, visible)
    return view._replace(images=hidden(augmented(view.turned(images), strong), visible, fill))


def at_places(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The pixels of maps (B, H, W) that are nearest to the places of a map of ``size`` (h, w) with aligned corners."""
    rows, columns = (
        torch.linspace(0, side - 1, places).round().long() for side, places in zip(maps.shape[-2:], size, strict=True)
    )
    rows, columns = (each.to(maps.device, non_blocking=True) for each in (rows, columns))
    return maps[:, rows][:, :, columns]


def _without_square(count: int, size: tuple[int, int], share: float) -> Tensor:
    """(count, H, W) bool, false in a square around a place drawn for each image, cut at the borders."""
    height, width = size
    side = round(share * min(size))
    visible = torch.ones(count, height, width, dtype=torch.bool)
    for mask in visible:
        middle = (torch.rand(2, dtype=torch.float32, device="cpu") * torch.tensor([height, width])).long().tolist()
        top, left = max(0, middle[0] - side // 2), max(0, middle[1] - side // 2)
        mask[top : middle[0] - side // 2 + side, left : middle[1] - side // 2 + side] = False
    return visible
