"""A margin of every picture left out: a camera car's bonnet, the rim of a rectified picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from acclimate.data.sample import Dataset, Image, Label
from acclimate.errors import UserError
from acclimate.io.files import hash_of
from acclimate.labels import VOID

LABELLED = 0.01
"""A row or column is a rim where a smaller share of its pixels, over all pictures looked at, has a class."""
NARROWEST = 0.02
"""Rims narrower than this share of the picture are left alone."""
WIDEST = 0.4
"""A side without labels wider than this is no rim: something else is wrong with the labels."""


class Cut(BaseModel):
    """What is left out at each side, as a share of the picture's width or height (0 up to 1).

    Attributes:
        left, top, right, bottom: 0.18 at the bottom: the lowest 18 % of the rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    left: float = Field(default=0.0, ge=0.0, lt=1.0)
    top: float = Field(default=0.0, ge=0.0, lt=1.0)
    right: float = Field(default=0.0, ge=0.0, lt=1.0)
    bottom: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.left + self.right >= 1 or self.top + self.bottom >= 1:
            raise ValueError("left and right together, and top and bottom together, must leave something: below 1")
        return self

    def __bool__(self) -> bool:
        return bool(self.sides())

    def window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns that stay, at least one of each."""
        return _kept(self.top, self.bottom, height), _kept(self.left, self.right, width)

    def sides(self) -> dict[str, float]:
        """Side -> its share, of those at which something is left out."""
        return {side: share for side, share in self.model_dump().items() if share}

    def words(self) -> str:
        """``18.3 % at the bottom``, side by side."""
        return ", ".join(f"{100 * share:.3g} % at the {side}" for side, share in self.sides().items())


class CutPictures(Dataset):
    """A dataset whose pictures and label maps lack a margin."""

    def __init__(self, dataset: Dataset, cut: Cut) -> None:
        self.dataset, self.cut = dataset, cut
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names, self.has_labels = dataset.names, dataset.has_labels

    def image(self, index: int) -> Image:
        return self._inner(self.dataset.image(index))

    def label(self, index: int) -> Label:
        return self._inner(self.dataset.label(index))

    def fingerprint(self) -> str:
        return hash_of(["cut", self.dataset.fingerprint(), self.cut.model_dump()])

    def _inner(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = self.cut.window(array.shape[0], array.shape[1])
        return array[rows, columns]


def without_margin(dataset: Dataset, cut: Cut | None) -> Dataset:
    """The dataset without what ``cut`` says; itself where that is nothing."""
    return CutPictures(dataset, cut) if cut else dataset


def unlabelled_rim(dataset: Dataset, indices: list[int]) -> Cut:
    """What has no class at the sides of all of these label maps alike: what a network is never told about.

    Labels that cannot be read are passed over.
    """

    def label(index: int) -> Label | None:
        try:
            return dataset.label(index)
        except UserError:
            return None

    return rim_of(label(index) for index in indices)


def rim_of(labels: Iterable[Label | None]) -> Cut:
    """The rim of label maps (H, W), whose sides are compared as shares of their own; None: one that cannot be read.

    Returns:
        Shares in thousandths; 0 at sides that are labelled, or where nothing is.
    """
    steps = 1000
    rows, columns, count = np.zeros(steps), np.zeros(steps), 0
    for label in labels:
        count += 1
        if label is not None:
            known = label != VOID
            rows += _stretched(known.mean(axis=1), steps)
            columns += _stretched(known.mean(axis=0), steps)
    limit = LABELLED * max(1, count)
    if rows.max(initial=0.0) <= limit:
        return Cut()
    top, bottom = (_rim(rows[::step] > limit) for step in (1, -1))
    left, right = (_rim(columns[::step] > limit) for step in (1, -1))
    return Cut(left=left, top=top, right=right, bottom=bottom)


def _rim(labelled: NDArray[np.bool_]) -> float:
    share = int(np.argmax(labelled)) / len(labelled)
    return share if NARROWEST <= share <= WIDEST else 0.0


def _stretched(shares: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """One value per thousandth of the side: that of the row or column in which its middle lies."""
    positions = np.minimum((np.arange(steps) + 0.5) * len(shares) / steps, len(shares) - 1).astype(int)
    chosen: NDArray[np.float64] = shares[positions]
    return chosen


def _kept(first: float, last: float, length: int) -> slice:
    # a share written with a few decimals means whole rows: 0.1833 of 600 are 110
    start, end = round(first * length), length - round(last * length)
    return slice(min(start, length - 1), max(end, min(start, length - 1) + 1))
