"""From an image and its label to tensors, with the augmentations the papers use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image as PILImage
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn.functional import interpolate

from acclimate.data.crops import Focus, Keep, crop_corner
from acclimate.data.photometric import Photometric
from acclimate.data.sample import Image, ImageSet, Label
from acclimate.labels import VOID, resized_label

Resample = Literal["bicubic", "bilinear"]
Reading = Literal["exact", "fast"]
Size = tuple[PositiveInt, PositiveInt]
"""(width, height)."""

_RESAMPLING = {"bicubic": PILImage.Resampling.BICUBIC, "bilinear": PILImage.Resampling.BILINEAR}


class Transform(BaseModel):
    """What happens to an image and its label on their way into a batch, in this order:

    resize → random scale → random crop → random flip → photometric changes.

    Attributes:
        size: (width, height) to resize to; None: native size.
        resample: how images are resized, after Pillow with its antialiasing; labels take the nearest neighbour.
        reading: ``exact``, or ``fast``: a JPEG is decoded at a half, a quarter or an eighth of its size, as long as
            that is twice ``size`` or more, and images are resized by PyTorch's vector kernels. Pixels differ by a level
            or two of 255, those of a reduced JPEG by a little more.
        scale: (smallest, largest) factor of a random rescaling, uniform.
        crop: (width, height) of a random crop; smaller images are first padded right and below, images with black and
            labels with void.
        focus: crops around given classes; see :class:`Focus`.
        largest_share: a crop is drawn again, up to nine times, while one class has this fraction of its labelled pixels
            or more (0.75 in DAFormer).
        flip: mirror left to right half of the time.
        photometric: see :class:`Photometric`; labels are untouched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Size | None = None
    resample: Resample = "bicubic"
    reading: Reading = "exact"
    scale: tuple[PositiveFloat, PositiveFloat] | None = None
    crop: Size | None = None
    focus: Focus | None = None
    largest_share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    flip: bool = False
    photometric: Photometric | None = None

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Transform:
        if self.scale is not None and self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is (smallest, largest), got {list(self.scale)}")
        return self

    def __call__(
        self, image: Image, label: Label | None, rng: np.random.Generator, keep: Keep | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The transformed image and label.

        Args:
            image: (H, W, 3) uint8.
            label: (H, W) train ids, or None. May differ in size from the image only when ``size`` is set.
            rng: what is random is drawn from here, the same draws with and without a label; a transform without
                randomness draws nothing.
            keep: what the crop should hold of a class; without a crop or a label nothing can be done about it.

        Returns:
            (3, H', W') float32 in [0, 1] and (H', W') int64.
        """
        tensor, changed = self.arranged(image, label, rng, keep)
        return tensor if self.photometric is None else self.photometric.draw(rng)(tensor), changed

    def arranged(
        self, image: Image, label: Label | None, rng: np.random.Generator, keep: Keep | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """All but the photometric changes, which are drawn last and may be made elsewhere."""
        if self.size is not None:
            image, label = self._resized_both(image, label, self.size)
        if label is not None and label.shape != image.shape[:2]:
            raise ValueError(f"label {label.shape} and image {image.shape[:2]} differ in size and no size is set")
        if self.scale is not None:
            factor = rng.uniform(*self.scale)
            height, width = image.shape[:2]
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            image, label = self._resized_both(image, label, size)
        if self.crop is not None:
            image, label = _cropped(
                image, label, self.crop, rng, focus=self.focus, keep=keep, largest_share=self.largest_share
            )
        if self.flip and rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1] if label is not None else None
        return to_tensor(image), None if label is None else torch.from_numpy(label.astype(np.int64))

    def picture(self, dataset: ImageSet, index: int) -> Image:
        """An image of a set, as large as :attr:`size` needs it at least."""
        return picture_for(dataset, index, size=self.size, reading=self.reading)

    def _resized_both(self, image: Image, label: Label | None, size: tuple[int, int]) -> tuple[Image, Label | None]:
        resize = RESIZERS[self.reading]
        return resize(image, size, self.resample), None if label is None else resized_label(label, size)


def quickly_resized(image: Image, size: tuple[int, int], resample: Resample = "bicubic") -> Image:
    """What :func:`resized` gives to a level or two of 255, in a quarter of the time.

    PyTorch's kernel for 8-bit images works as Pillow's does, with vector instructions, and rounds elsewhere.
    """
    if (image.shape[1], image.shape[0]) == size:
        return image
    pixels = torch.from_numpy(image if image.flags.writeable else image.copy()).permute(2, 0, 1)[None]
    other = interpolate(pixels, size=size[::-1], mode=resample, align_corners=False, antialias=True)
    found: Image = other[0].permute(1, 2, 0).numpy()
    return found


def resized(image: Image, size: tuple[int, int], resample: Resample = "bicubic") -> Image:
    """An RGB image at another size (width, height); the same array where it has that size already."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(PILImage.fromarray(image).resize(size, _RESAMPLING[resample]))


def picture_for(dataset: ImageSet, index: int, *, size: tuple[int, int] | None, reading: Reading) -> Image:
    """An image of a set that is to be resized to ``size``; ``fast``: perhaps reduced while it is decoded."""
    if reading == "fast" and size is not None:
        return dataset.reduced_image(index, size)
    return dataset.image(index)


RESIZERS: dict[Reading, Callable[[Image, tuple[int, int], Resample], Image]] = {
    "exact": resized,
    "fast": quickly_resized,
}


def to_tensor(image: Image) -> Tensor:
    """(H, W, 3) uint8 as (3, H, W) float32 in [0, 1]."""
    height, width = image.shape[:2]
    result = np.empty((3, height, width), dtype=np.float32)
    np.divide(image.transpose(2, 0, 1), np.float32(255), out=result, dtype=np.float32)
    return torch.from_numpy(result)


def _cropped(
    image: Image,
    label: Label | None,
    crop: tuple[int, int],
    rng: np.random.Generator,
    *,
    focus: Focus | None,
    keep: Keep | None,
    largest_share: float | None,
) -> tuple[Image, Label | None]:
    width, height = crop
    missing = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    if any(missing):
        below_and_right: list[tuple[int, int]] = [(0, missing[0]), (0, missing[1])]
        image = np.pad(image, [*below_and_right, (0, 0)])
        label = None if label is None else np.pad(label, below_and_right, constant_values=VOID)
    shape = (image.shape[0], image.shape[1])
    top, left = crop_corner(shape, label, (height, width), rng, focus=focus, keep=keep, largest_share=largest_share)
    window = slice(top, top + height), slice(left, left + width)
    return image[window], None if label is None else label[window]
