"""How many pixels of each class every image has: one count, from which samplers and image-level labels are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.sample import Dataset
from acclimate.errors import UserError
from acclimate.io.files import hash_of
from acclimate.io.tensors import remembered, write_tensors

_VERSION = 1
_KEY = "acclimate-class-counts"


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Of a labelled set, at native size.

    Attributes:
        names: of the images.
        pixels: (N, C) int64, pixels of each class in each image.
        totals: (N,) int64, all pixels of each image, void ones included.
    """

    names: Sequence[str]
    pixels: NDArray[np.int64]
    totals: NDArray[np.int64]

    @property
    def presence(self) -> NDArray[np.bool_]:
        """(N, C): whether an image has a pixel of a class."""
        present: NDArray[np.bool_] = self.pixels > 0
        return present

    @property
    def shares(self) -> NDArray[np.float32]:
        """(N, C): the fraction of an image's pixels that a class covers, void counting as no class."""
        return (self.pixels / np.maximum(1, self.totals)[:, None]).astype(np.float32)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """(C,): each class's fraction of all pixels that are not void."""
        whole = self.pixels.sum(axis=0)
        return np.asarray(whole / max(1, int(whole.sum())), dtype=np.float64)

    def shares_by_name(self) -> dict[str, NDArray[np.float32]]:
        """Image name -> its row of :attr:`shares`: image-level labels (MLSL eq. 4)."""
        return dict(zip(self.names, self.shares, strict=True))


def class_counts(dataset: Dataset, cache: Path | None = None, *, progress: Progress | None = None) -> ClassCounts:
    """Counts the pixels of every label once.

    Args:
        dataset: labelled.
        cache: folder in which the counts are kept by the dataset's fingerprint; None: count again.
        progress: told how far the counting is; None: a bar on stderr.

    Raises:
        UserError: the set has no labels, or a label file is at fault.
    """
    if not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no labels, so its classes cannot be counted")
    count, classes = len(dataset), len(dataset.class_space)
    kept = None
    if cache is not None:
        kept = Path(cache) / f"{hash_of([_VERSION, 'class counts', dataset.fingerprint()])}-counts.safetensors"
        if (found := remembered(kept, key=_KEY)) is not None:
            table = np.asarray(found["counts"].numpy(), dtype=np.int64)
            return ClassCounts(dataset.names, table[:, :-1], table[:, -1])

    def counted(index: int) -> NDArray[np.int64]:
        label = dataset.label(index)
        return np.append(np.bincount(label.ravel(), minlength=256)[:classes], label.size)

    rows = reported(in_parallel(counted, count), count, f"classes of {dataset.spec}", progress)
    table = np.stack(list(rows)).astype(np.int64)
    if kept is not None:
        write_tensors(kept, {"counts": torch.from_numpy(table)}, key=_KEY, card={"spec": dataset.spec})
    return ClassCounts(dataset.names, table[:, :-1], table[:, -1])
