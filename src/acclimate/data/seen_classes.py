"""Which classes the labels of a set show: said before hours are spent on a class that nobody drew."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acclimate.data.readers.base import FileDataset
from acclimate.data.sample import Dataset, Label
from acclimate.errors import UserError

log = logging.getLogger(__name__)

Counts = NDArray[np.int64]
"""Pixels by train id, shape (256,); void is the last."""
FIRST_LOOK = 64
"""Labels that a run looks at before it starts."""


def counted(dataset: Dataset, index: int) -> Counts:
    """Pixels by train id of one label, shape (256,)."""
    return pixels_of(dataset.label(index))


def pixels_of(label: Label) -> Counts:
    """Pixels by train id of a label map, shape (256,)."""
    counts: Counts = np.bincount(label.ravel(), minlength=256)
    return counts


def remarks(dataset: Dataset, pixels: Counts, *, looked: int) -> list[str]:
    """What is worth knowing about the classes of a labelled set.

    Args:
        dataset: what was looked at.
        pixels: by train id, over the labels that were looked at.
        looked: how many labels that was.
    """
    names = dataset.class_space.classes
    missing = [name for index, name in enumerate(names) if not pixels[index]]
    where = f"{dataset.spec} ({dataset.split})"
    lines = []
    unmapped: list[str] = []
    if isinstance(dataset, FileDataset):
        reached = set(dataset.id_mapping().values())
        unmapped = [name for index, name in enumerate(names) if index not in reached]
        if unmapped:
            lines.append(f"{where}: nothing in its labels can mean {_named(unmapped)}: no id or colour maps there")
        if dataset.left_out:
            lines.append(f"{where}: {_named(dataset.left_out)} are void: the classes, matched by name, lack them")
        default = dataset.void_by_default()
        share = pixels[255] / max(1, pixels.sum())
        if default is not None and pixels[255]:
            lines.append(
                f"{where}: {100 * share:.3g} % of the pixels are void, which {default} is unless ids says otherwise"
            )
    if unseen := [name for name in missing if name not in unmapped]:
        labels = f"none of the {looked} labels looked at shows" if looked < len(dataset) else "no label shows"
        lines.append(f"{where}: {labels} a pixel of {_named(unseen)}")
    return lines


def nothing_labelled(dataset: Dataset) -> UserError:
    """The error for a set none of whose labels shows a class."""
    return UserError(
        f"{dataset.spec} ({dataset.split}): no label holds a pixel of a class, all of them are void: there is nothing "
        f"to train on or to score; look at one label's values and at ids; `acclimate check {dataset.spec}` tells more"
    )


def first_look(dataset: Dataset, *, tolerant: bool, most: int = FIRST_LOOK) -> None:
    """Looks at some labels of a set, evenly spread, and warns of classes that none of them shows.

    Args:
        dataset: labelled.
        tolerant: whether labels that cannot be read are passed over.
        most: labels to look at.

    Raises:
        UserError: one cannot be read, or no label of the whole set shows any class.
    """
    places = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int)).tolist()
    pixels = np.zeros(256, dtype=np.int64)
    looked = 0

    def look(indices: Sequence[int], *, until_seen: bool) -> None:
        nonlocal pixels, looked
        for index in indices:
            try:
                pixels = pixels + counted(dataset, index)
                looked += 1
            except UserError:
                if not tolerant:
                    raise
            if until_seen and pixels[:255].any():
                return

    look(places, until_seen=False)
    if not pixels[:255].any():
        look(sorted(set(range(len(dataset))) - set(places)), until_seen=True)
    if not pixels[:255].any() and looked:
        raise nothing_labelled(dataset)
    for line in remarks(dataset, pixels, looked=looked):
        log.warning("%s", line)


def _named(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
