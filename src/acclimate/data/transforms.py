"""From an image and its label to tensors, with the augmentations the papers use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import Tensor

from acclimate.data.sample import Image, Label
from acclimate.labels import VOID, resized_label

Resample = Literal["bicubic", "bilinear"]
Size = tuple[PositiveInt, PositiveInt]
"""(width, height)."""

_RESAMPLING = {"bicubic": PILImage.Resampling.BICUBIC, "bilinear": PILImage.Resampling.BILINEAR}


class ColourJitter(BaseModel):
    """Strengths of random colour changes, with torchvision's meaning.

    Attributes:
        brightness, contrast, saturation: the factor is uniform in [max(0, 1 - strength), 1 + strength].
        hue: the shift is uniform in [-hue, hue], in turns of the colour circle (at most half a turn).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    brightness: NonNegativeFloat = 0.0
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0


class Focus(BaseModel):
    """Crops that hold a pixel of given classes.

    Attributes:
        classes: train ids; of those in the image one is drawn, then one of its pixels, and the crop is placed to hold
            it. An image without any is cropped at random.
        chance: of such a crop.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[NonNegativeInt, ...] = Field(min_length=1)
    chance: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0


class Transform(BaseModel):
    """What happens to an image and its label on their way into a batch, in this order:

    resize → random scale → random crop → random flip → colour jitter.

    Attributes:
        size: (width, height) to resize to; None: native size.
        resample: how images are resized, after Pillow with its antialiasing; labels take the nearest neighbour.
        scale: (smallest, largest) factor of a random rescaling, uniform.
        crop: (width, height) of a random crop; smaller images are first padded right and below, images with black and
            labels with void.
        focus: crops around given classes; see :class:`Focus`.
        flip: mirror left to right half of the time.
        colour_jitter: see :class:`ColourJitter`; labels are untouched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Size | None = None
    resample: Resample = "bicubic"
    scale: tuple[PositiveFloat, PositiveFloat] | None = None
    crop: Size | None = None
    focus: Focus | None = None
    flip: bool = False
    colour_jitter: ColourJitter | None = None

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Transform:
        if self.scale is not None and self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is (smallest, largest), got {list(self.scale)}")
        return self

    def __call__(self, image: Image, label: Label | None, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """The transformed image and label.

        Args:
            image: (H, W, 3) uint8.
            label: (H, W) train ids, or None. May differ in size from the image only when ``size`` is set.
            rng: what is random is drawn from here, the same draws with and without a label; a transform without
                randomness draws nothing.

        Returns:
            (3, H', W') float32 in [0, 1] and (H', W') int64.
        """
        if self.size is not None:
            image, label = _resized_both(image, label, self.size, self.resample)
        if label is not None and label.shape != image.shape[:2]:
            raise ValueError(f"label {label.shape} and image {image.shape[:2]} differ in size and no size is set")
        if self.scale is not None:
            factor = rng.uniform(*self.scale)
            height, width = image.shape[:2]
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            image, label = _resized_both(image, label, size, self.resample)
        if self.crop is not None:
            image, label = _cropped(image, label, self.crop, rng, self.focus)
        if self.flip and rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1] if label is not None else None
        tensor = to_tensor(image)
        if self.colour_jitter is not None:
            tensor = jittered(tensor, self.colour_jitter, rng)
        return tensor, None if label is None else torch.from_numpy(label.astype(np.int64))


def resized(image: Image, size: tuple[int, int], resample: Resample = "bicubic") -> Image:
    """An RGB image at another size (width, height); the same array where it has that size already."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(PILImage.fromarray(image).resize(size, _RESAMPLING[resample]))


def to_tensor(image: Image) -> Tensor:
    """(H, W, 3) uint8 as (3, H, W) float32 in [0, 1]."""
    height, width = image.shape[:2]
    result = np.empty((3, height, width), dtype=np.float32)
    np.divide(image.transpose(2, 0, 1), np.float32(255), out=result, dtype=np.float32)
    return torch.from_numpy(result)


def _resized_both(
    image: Image, label: Label | None, size: tuple[int, int], resample: Resample
) -> tuple[Image, Label | None]:
    return resized(image, size, resample), None if label is None else resized_label(label, size)


def _cropped(
    image: Image, label: Label | None, crop: tuple[int, int], rng: np.random.Generator, focus: Focus | None
) -> tuple[Image, Label | None]:
    width, height = crop
    missing = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    if any(missing):
        below_and_right: list[tuple[int, int]] = [(0, missing[0]), (0, missing[1])]
        image = np.pad(image, [*below_and_right, (0, 0)])
        label = None if label is None else np.pad(label, below_and_right, constant_values=VOID)
    top = int(rng.integers(image.shape[0] - height + 1))
    left = int(rng.integers(image.shape[1] - width + 1))
    if focus is not None:
        draws = rng.random(5)  # drawn whether or not they are needed, so that later draws do not depend on labels
        if label is not None and draws[0] < focus.chance:
            top, left = _focused(label, (height, width), focus.classes, draws[1:]) or (top, left)
    window = slice(top, top + height), slice(left, left + width)
    return image[window], None if label is None else label[window]


def _focused(
    label: Label, crop: tuple[int, int], classes: tuple[int, ...], draws: NDArray[np.float64]
) -> tuple[int, int] | None:
    """(top, left) of a crop (height, width) that holds a pixel of one of the classes; None where there is none."""
    present = [index for index in classes if (label == index).any()]
    if not present:
        return None
    wanted = present[int(draws[0] * len(present))]
    places = np.flatnonzero(label == wanted)
    row, column = divmod(int(places[int(draws[1] * len(places))]), label.shape[1])

    def start(position: int, length: int, whole: int, draw: float) -> int:
        first, last = max(0, position - length + 1), min(position, whole - length)
        return first + int(draw * (last - first + 1))

    return (
        start(row, crop[0], label.shape[0], float(draws[2])),
        start(column, crop[1], label.shape[1], float(draws[3])),
    )


def jittered(image: Tensor, strengths: ColourJitter, rng: np.random.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional

    changes: dict[str, Any] = {
        "brightness": functional.adjust_brightness,
        "contrast": functional.adjust_contrast,
        "saturation": functional.adjust_saturation,
        "hue": functional.adjust_hue,
    }
    names = [name for name in changes if getattr(strengths, name) > 0]
    for index in rng.permutation(len(names)):
        strength = getattr(strengths, names[index])
        low, high = (-strength, strength) if names[index] == "hue" else (max(0.0, 1 - strength), 1 + strength)
        image = changes[names[index]](image, rng.uniform(low, high))
    return image
