"""A pre-resized copy of a dataset as memory-mapped arrays: what is decoded once need not be decoded every epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from acclimate.data.sample import Dataset, Image, Label
from acclimate.data.transforms import Resample, resized
from acclimate.errors import UserError
from acclimate.io.files import atomic, hash_of
from acclimate.io.progress import progress as progress_bar
from acclimate.labels import resized_label

Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""

Value = TypeVar("Value")
_VERSION = 1


def cached(
    dataset: Dataset,
    *,
    size: tuple[int, int],
    folder: Path,
    resample: Resample = "bicubic",
    labels: bool = True,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset with every image at one size, read from a copy in ``folder`` that is made if it is not there.

    A :class:`Transform` that starts by resizing to ``size`` gives the same tensors from the copy as from the files. The
    copy is found by the dataset's fingerprint: another set, or other classes, make another copy. An interrupted build
    leaves nothing behind.

    Args:
        dataset: at native size.
        size: (width, height) of the copy.
        folder: where copies live; never the user's data.
        resample: how images are resized; labels take the nearest neighbour.
        labels: whether to copy labels too; without, label files are never opened and the result has no labels.
        progress: told how far the building is; None: a bar on stderr.

    Raises:
        UserError: a file is at fault, labels are wanted and there are none, or the disk is full.
    """
    if labels and not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no labels to keep a resized copy of")
    key = hash_of([_VERSION, dataset.fingerprint(), list(size), resample])
    width, height = size
    count = len(dataset)
    images, label_maps = Path(folder) / f"{key}-images.npy", Path(folder) / f"{key}-labels.npy"
    if not images.is_file():
        _build(
            images,
            (count, height, width, 3),
            lambda index: resized(dataset.image(index), size, resample),
            f"resized images of {dataset.spec}",
            progress,
        )
    if labels and not label_maps.is_file():
        _build(
            label_maps,
            (count, height, width),
            lambda index: resized_label(dataset.label(index), size),
            f"resized labels of {dataset.spec}",
            progress,
        )
    return CachedDataset(dataset, key=key, images=images, labels=label_maps if labels else None)


class CachedDataset(Dataset):
    """A dataset read from :func:`cached`'s arrays; safe in several processes. The arrays it gives are read-only."""

    def __init__(self, dataset: Dataset, *, key: str, images: Path, labels: Path | None) -> None:
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names, self.has_labels = dataset.names, labels is not None
        self._key, self._paths = key, (images, labels)
        self._maps: dict[Path, NDArray[np.uint8]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # a memory map would travel to another process as a copy of everything in it
        return {**self.__dict__, "_maps": {}}

    def _map(self, path: Path) -> NDArray[np.uint8]:
        if path not in self._maps:
            self._maps[path] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._maps[path]

    def image(self, index: int) -> Image:
        return np.asarray(self._map(self._paths[0])[index])

    def label(self, index: int) -> Label:
        if self._paths[1] is None:
            raise UserError(f"{self.spec}: this resized copy was made without labels")
        return np.asarray(self._map(self._paths[1])[index])

    def fingerprint(self) -> str:
        return hash_of(["cached", self._key])


def _build(
    path: Path,
    shape: tuple[int, ...],
    read: Callable[[int], NDArray[np.uint8]],
    what: str,
    progress: Progress | None,
) -> None:
    """Writes an array file item by item: constant memory, and a full disk is an error instead of a crash."""
    with atomic(path) as temporary, open(temporary, "wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for item in reported(in_parallel(read, shape[0]), shape[0], what, progress):
            stream.write(np.ascontiguousarray(item).data)


def in_parallel(read: Callable[[int], Value], count: int) -> Iterator[Value]:
    """``read(0), read(1), …`` in order, a few ahead on threads: Pillow decodes and resizes outside Python's lock."""
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, count, 4 * threads):
            yield from pool.map(read, range(begin, min(count, begin + 4 * threads)))


def reported(items: Iterable[Value], total: int, what: str, progress: Progress | None) -> Iterator[Value]:
    """``items``, telling ``progress`` after each; None: a bar on stderr."""
    if progress is not None:
        for done, item in enumerate(items, start=1):
            yield item
            progress(done, total)
        return
    with progress_bar(what, total) as bar:
        for item in items:
            yield item
            bar.advance()
