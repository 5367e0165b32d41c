"""What a dataset gives: the interface every reader implements, and the batch a method receives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError

Image = NDArray[np.uint8]
"""An RGB image, shape (H, W, 3), 0-255."""
Label = NDArray[np.uint8]
"""A label map of train ids, shape (H, W), void 255."""


class ImageSet(ABC):
    """What sets of every task share: an ordered set of images at native resolution, perhaps with annotations.

    Attributes:
        spec: the ``kind:path`` it was opened from.
        split: ``train``, ``val``, ...
        class_space: what its annotations are mapped into.
        names: one name per image, unique in the set: its relative path without suffix, parts joined by ``/``.
        has_labels: whether its annotations can be read.
    """

    spec: str
    split: str
    class_space: ClassSpace
    names: Sequence[str]
    has_labels: bool

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def image(self, index: int) -> Image:
        """The RGB image at its native size. Raises UserError naming the file when it cannot be read."""

    def reduced_image(self, index: int, size: tuple[int, int]) -> Image:
        """The image, perhaps reduced in size while it was decoded, but at least twice ``size`` (width, height).

        At its native size where the set's files know no better. Raises UserError as :meth:`image` does.
        """
        return self.image(index)

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what the set holds: names and contents of files (not their times), split and class space."""


class Dataset(ImageSet):
    """Images with label maps, perhaps (``has_labels``)."""

    @abstractmethod
    def label(self, index: int) -> Label:
        """Train ids at the label's native size. Raises UserError naming the file for unknown ids or missing labels."""


def evenly_spaced(count: int, total: int) -> list[int]:
    """``count`` indices spread over ``total`` items: chosen by position alone, so that no picture is hand-picked."""
    count = min(count, total)
    return [int((index + 0.5) * total / count) for index in range(count)]


@dataclass
class Batch:
    """Images a method sees at one step.

    Attributes:
        images: (B, 3, H, W) float32 RGB in [0, 1]; networks normalise by themselves.
        labels: (B, H, W) int64 train ids, void 255; or None where labels must not be seen.
        names: one per image.
        changes: what is still to be done to the colours of each image, on the device it goes to; empty: nothing.
    """

    images: Tensor
    labels: Tensor | None
    names: list[str]
    changes: Sequence[Callable[[Tensor], Tensor]] = ()

    def to(self, device: object, *, channels_last: bool = False) -> Batch:
        """The batch on another device, its colours changed, perhaps in the channels-last memory format."""
        import torch

        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        images = self.images.to(device, non_blocking=True)  # type: ignore[call-overload]
        if self.changes:
            images = torch.stack([change(image) for change, image in zip(self.changes, images, strict=True)])
        images = images.contiguous(memory_format=memory_format)
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)  # type: ignore[call-overload]
        return Batch(images, labels, self.names)

    def parts(self, count: int) -> list[Batch]:
        """The batch in so many parts of equal size, in order.

        Raises:
            UserError: it cannot be divided so.
        """
        return [
            Batch(
                self.images[part],
                None if self.labels is None else self.labels[part],
                self.names[part],
                self.changes[part],
            )
            for part in equal_parts(len(self.names), count)
        ]


def equal_parts(images: int, count: int) -> list[slice]:
    """Where each of ``count`` equal parts of a batch lies. Raises UserError as :func:`part_size` does."""
    size = part_size(images, count)
    return [slice(begin, begin + size) for begin in range(0, images, size)]


def part_size(images: int, count: int) -> int:
    """Images in each of ``count`` equal parts of a batch.

    Raises:
        UserError: there are none.
    """
    if images % count:
        raise UserError(
            f"a batch of {images} images cannot be gone through in {count} equal parts; change training.accumulate or "
            "the batch size"
        )
    return images // count
