"""A history of translated pictures for the discriminator to learn from (Shrivastava et al.; CycleGAN, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor


class ImagePool:
    """Up to ``size`` translated pictures of earlier steps.

    While it is filling up, every picture is kept and returned. Once full, each picture is with probability one half
    exchanged for a random earlier one, which takes its place in the answer; otherwise it is returned and forgotten.
    Random numbers come from torch's global generator, which the loop seeds anew at every step.

    Args:
        size: pictures kept; 0 returns every picture unchanged.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[Tensor] = []

    def exchange(self, pictures: Tensor) -> Tensor:
        """For a batch (B, 3, H, W), detached, one of the same size made of new and earlier pictures."""
        if self.size == 0:
            return pictures.detach()
        return torch.stack([self._exchanged(picture) for picture in pictures.detach()])

    def _exchanged(self, picture: Tensor) -> Tensor:
        if len(self.pictures) < self.size:
            self.pictures.append(picture.clone())
            return picture
        if float(torch.rand(())) <= 0.5:
            return picture
        place = int(torch.randint(self.size, ()))
        earlier, self.pictures[place] = self.pictures[place], picture.clone()
        return earlier

    def state(self) -> list[Tensor]:
        """The pictures kept, in order."""
        return list(self.pictures)

    def restore(self, pictures: list[Tensor], device: torch.device) -> None:
        """Takes up what :meth:`state` returned."""
        self.pictures = [picture.to(device) for picture in pictures]
