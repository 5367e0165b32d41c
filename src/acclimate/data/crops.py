"""Where a crop is placed: at random, around given classes, or drawn again until it holds what it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from acclimate.data.sample import Label
from acclimate.labels import VOID

TRIES = 10
"""Crops that are drawn before the last one is taken as it is (DAFormer)."""

Corner = tuple[int, int]
"""(top, left) of a crop."""


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


@dataclass(frozen=True)
class Keep:
    """A class that a crop should hold, as the sampler that chose the image for it asks.

    Attributes:
        train_id: the class.
        share: the crop should hold more pixels of it than this fraction of the whole image's pixels.
        tries: crops that are drawn for it; the last one stays, whatever it holds.
    """

    train_id: int
    share: float = 0.0
    tries: int = TRIES


def crop_corner(
    shape: tuple[int, int],
    label: Label | None,
    crop: tuple[int, int],
    rng: np.random.Generator,
    *,
    focus: Focus | None = None,
    keep: Keep | None = None,
    largest_share: float | None = None,
) -> Corner:
    """(top, left) of a crop. What is drawn from ``rng`` does not depend on the label.

    Args:
        shape: (height, width) of the image, at least those of the crop.
        label: train ids of the image; None: the crop is anywhere.
        crop: (height, width).
        rng: of the draws.
        focus: sometimes around given classes.
        keep: drawn again until the class is in it.
        largest_share: drawn again until no class has this fraction of the crop's labelled pixels or more.
    """
    rows, columns = shape[0] - crop[0] + 1, shape[1] - crop[1] + 1
    corners = [(int(rng.integers(rows)), int(rng.integers(columns)))]
    if focus is not None:
        draws = rng.random(5)
        if label is not None and draws[0] < focus.chance:
            corners[0] = _around(label, crop, focus.classes, draws[1:]) or corners[0]
    if keep is None and largest_share is None:
        return corners[0]
    more = rng.random(((keep.tries if keep is not None else TRIES) - 1, 2))
    corners += [(int(draw[0] * rows), int(draw[1] * columns)) for draw in more]
    if label is None:
        return corners[0]
    least = 0.0 if keep is None else keep.share * shape[0] * shape[1]
    for top, left in corners:
        pixels = np.bincount(label[top : top + crop[0], left : left + crop[1]].ravel(), minlength=VOID + 1)[:VOID]
        holds = keep is None or pixels[keep.train_id] > least
        if holds and (largest_share is None or pixels.max() < largest_share * pixels.sum()):
            return top, left
    return corners[-1]


def _around(label: Label, crop: tuple[int, int], classes: tuple[int, ...], draws: NDArray[np.float64]) -> Corner | None:
    """A crop (height, width) that holds a pixel of one of the classes; None where there is none."""
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
