"""How sure and how right predictions are close to the boundaries between classes, and away from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt
from torch.nn import functional

from acclimate.evaluation.confusion import ConfusionMatrix

_Fraction = Field(default=None, ge=0, le=1)
_GRAINS = 1 << 32
"""Parts of an entropy of 1 in which entropies are summed."""


class RegionScores(BaseModel):
    """Of the labelled pixels of one region of all images; None where it has no pixel.

    Attributes:
        pixels: how many there are.
        accuracy: the share that is predicted right.
        entropy: mean normalised entropy of the prediction, in [0, 1] (ADVENT eq. 2).
        miou: mean IoU over the classes that occur in the region, counted on its pixels alone.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    pixels: NonNegativeInt
    accuracy: float | None = _Fraction
    entropy: float | None = _Fraction
    miou: float | None = _Fraction


class BoundaryScores(BaseModel):
    """Scores within ``width`` pixels of a class boundary (``near``) and on all other labelled pixels (``inside``)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    width: PositiveInt
    near: RegionScores
    inside: RegionScores


def near_boundaries(label: NDArray[np.uint8], *, width: int, classes: int) -> NDArray[np.bool_]:
    """Which labelled pixels have a pixel of another class at most ``width`` rows and columns away.

    A boundary lies between two classes: void neither has nor makes one, so that an object's boundary with void counts
    for nothing.

    Args:
        label: (H, W) train ids; values of ``classes`` or more are void.
        width: reach in pixels of the label, at least 1.
        classes: number of classes.

    Returns:
        (H, W); False at void pixels.
    """
    if width < 1:
        raise ValueError(f"boundaries need a width of at least one pixel, got {width}")
    void = label >= classes
    highest = _largest_around(np.where(void, -1.0, label), width)
    lowest = -_largest_around(np.where(void, -float(classes), -label.astype(np.float32)), width)
    near: NDArray[np.bool_] = (highest != lowest) & ~void
    return near


def _largest_around(values: NDArray[np.floating], reach: int) -> NDArray[np.float32]:
    """The largest value in the square window around each position; the picture's edge adds nothing."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]
    size = 2 * reach + 1
    tensor = functional.max_pool2d(tensor, (1, size), stride=1, padding=(0, reach))
    tensor = functional.max_pool2d(tensor, (size, 1), stride=1, padding=(reach, 0))
    result: NDArray[np.float32] = tensor[0, 0].numpy()
    return result


class BoundaryCounts:
    """Accumulates :class:`BoundaryScores` over a split, image by image.

    Args:
        classes: class names in train-id order.
        width: how far from a boundary a pixel is still near it, in pixels of the labels' native size.
    """

    def __init__(self, classes: Sequence[str], *, width: int) -> None:
        self.width = width
        self._near, self._inside = ConfusionMatrix(classes), ConfusionMatrix(classes)
        self._entropy = {"near": 0, "inside": 0}

    def add(self, label: NDArray[np.uint8], prediction: NDArray[np.uint8], entropy: NDArray[np.float32]) -> None:
        """Counts one image: its label, the predicted train ids, and their normalised entropies, all (H, W)."""
        classes = len(self._near.classes)
        near = near_boundaries(label, width=self.width, classes=classes)
        inside = ~near & (label < classes)
        self._near.add(label[near], prediction[near])
        self._inside.add(label[inside], prediction[inside])
        self._entropy["near"] += _in_grains(entropy[near])
        self._entropy["inside"] += _in_grains(entropy[inside])

    def counted(self) -> dict[str, Any]:
        """What has been counted so far, as lists and numbers for :meth:`take`."""
        matrices = {"near": self._near.counts, "inside": self._inside.counts}
        return {"entropy": dict(self._entropy), **{part: counts.tolist() for part, counts in matrices.items()}}

    def take(self, counted: Mapping[str, Any]) -> None:
        """Adds what was counted elsewhere."""
        self._near.take(np.array(counted["near"], dtype=np.int64))
        self._inside.take(np.array(counted["inside"], dtype=np.int64))
        for part in self._entropy:
            self._entropy[part] += counted["entropy"][part]

    def scores(self) -> BoundaryScores:
        """What has been counted so far."""
        return BoundaryScores(
            width=self.width,
            near=_region(self._near, self._entropy["near"]),
            inside=_region(self._inside, self._entropy["inside"]),
        )


def _in_grains(entropy: NDArray[np.float32]) -> int:
    """The sum in whole grains: whole numbers have one sum, in whatever order images are gone through."""
    values = np.nan_to_num(entropy.astype(np.float64), nan=1.0)
    return int(np.rint(values * _GRAINS).sum())


def _region(confusion: ConfusionMatrix, entropy: int) -> RegionScores:
    pixels = int(confusion.counts.sum())
    return RegionScores(
        pixels=pixels,
        accuracy=confusion.pixel_accuracy(),
        entropy=min(1.0, entropy / _GRAINS / pixels) if pixels else None,
        miou=confusion.miou(),
    )
