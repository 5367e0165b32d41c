"""What a detection set gives: images with boxes, and the batch a detection method receives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acclimate.data.sample import ImageSet, equal_parts


@dataclass(frozen=True)
class Boxes:
    """The objects of one image.

    Attributes:
        corners: (N, 4) float32, x0, y0, x1, y1 in pixel edges: x1 - x0 is the width.
        classes: (N,) int64, places in the class space; there is no background class.
        difficult: (N,) bool: neither trained on nor counted when scoring.
    """

    corners: Tensor
    classes: Tensor
    difficult: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    @staticmethod
    def of(corners: Sequence[Sequence[float]], classes: Sequence[int], difficult: Sequence[bool] = ()) -> Boxes:
        """From plain lists; by default no object is difficult."""
        return Boxes(
            torch.tensor(corners, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(classes, dtype=torch.int64),
            torch.tensor(list(difficult) or [False] * len(classes), dtype=torch.bool),
        )

    def kept(self, which: Tensor) -> Boxes:
        """Those that a boolean mask (N,) selects."""
        return Boxes(self.corners[which], self.classes[which], self.difficult[which])

    def joined(self, other: Boxes) -> Boxes:
        """These and the other ones."""
        mine, theirs = (self.corners, self.classes, self.difficult), (other.corners, other.classes, other.difficult)
        return Boxes(*(torch.cat(pair) for pair in zip(mine, theirs, strict=True)))

    def moved(self, corners: Tensor) -> Boxes:
        """The same objects at other places."""
        return Boxes(corners, self.classes, self.difficult)


class BoxedDataset(ImageSet):
    """An ordered set of images at native resolution, perhaps with boxes (``has_labels``)."""

    @abstractmethod
    def boxes(self, index: int) -> Boxes:
        """The objects of the image, in pixels of its native size. Raises UserError naming the file at fault."""


@dataclass
class DetectionBatch:
    """Images a detection method sees at one step.

    Attributes:
        images: (B, 3, H, W) float32 RGB in [0, 1]; networks normalise by themselves.
        boxes: one per image in pixels of ``images``, or None where they must not be seen.
        names: one per image.
    """

    images: Tensor
    boxes: list[Boxes] | None
    names: list[str]

    def to(self, device: object, *, channels_last: bool = False) -> DetectionBatch:
        """The same batch with its images on another device; boxes stay where they are until they are needed."""
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        images = self.images.to(device=device, memory_format=memory_format, non_blocking=True)  # type: ignore[call-overload]
        return DetectionBatch(images, self.boxes, self.names)

    def parts(self, count: int) -> list[DetectionBatch]:
        """The batch in so many parts of equal size, in order. Raises UserError where it cannot be divided so."""
        return [
            DetectionBatch(self.images[part], None if self.boxes is None else self.boxes[part], self.names[part])
            for part in equal_parts(len(self.names), count)
        ]
