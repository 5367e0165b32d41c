"""A pre-resized copy of a dataset as memory-mapped arrays: what is decoded once need not be decoded every epoch."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from acclimate.data.sample import Dataset, Image, Label
from acclimate.data.transforms import RESIZERS, Reading, Resample, picture_for
from acclimate.errors import UserError
from acclimate.io.arrays import VerifiedArray, write_array
from acclimate.io.files import hash_of, remove_leftovers
from acclimate.io.progress import progress as progress_bar
from acclimate.labels import resized_label

log = logging.getLogger(__name__)

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
    reading: Reading = "exact",
    labels: bool = True,
    gigabytes: float = math.inf,
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
        reading: how files are read and resized, see :class:`acclimate.data.transforms.Transform`.
        labels: whether to copy labels too; without, label files are never opened and the result has no labels.
        gigabytes: that copies in ``folder`` may take together; one that would be too much is not made, which is told,
            and the images come from the files.
        progress: told how far the building is; None: a bar on stderr.

    Raises:
        UserError: a file is at fault, labels are wanted and there are none, or the disk is full.
    """
    if labels and not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no labels to keep a resized copy of")
    key = hash_of([_VERSION, dataset.fingerprint(), list(size), resample, *(["fast"] if reading == "fast" else [])])
    width, height = size
    count = len(dataset)
    remove_leftovers(folder, deep=False)
    images = Path(folder) / f"{key}-images.npy"
    label_maps = Path(folder) / f"{key}-labels.npy" if labels else None
    copy = CachedDataset(
        dataset, key=key, images=images, labels=label_maps, size=size, resample=resample, reading=reading
    )
    parts = [(images, 3), *([(label_maps, 1)] if label_maps is not None else [])]
    missing = sum(count * height * width * channels for path, channels in parts if not path.is_file()) / 1e9
    taken = sum(path.stat().st_size for path in Path(folder).glob("*.npy")) / 1e9
    if missing > 0 and missing + taken > gigabytes:
        log.warning(
            "no resized copy of %s is kept: it takes %.2g GB, beside %.2g GB of others, and training.cache_gigabytes "
            "is %.4g; images are read from their files",
            dataset.spec,
            missing,
            taken,
            gigabytes,
        )
        return dataset
    _made(images, (count, height, width, 3), copy.resized_image, f"resized images of {dataset.spec}", progress)
    if label_maps is not None:
        _made(label_maps, (count, height, width), copy.resized_label, f"resized labels of {dataset.spec}", progress)
    return copy


class CachedDataset(Dataset):
    """A dataset read from :func:`cached`'s arrays; safe in several processes. The arrays it gives are read-only.

    An item that no longer has the checksum it was written with is made again from its file, and that is told.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        key: str,
        images: Path,
        labels: Path | None,
        size: tuple[int, int],
        resample: Resample,
        reading: Reading = "exact",
    ) -> None:
        self.dataset = dataset
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names, self.has_labels = dataset.names, labels is not None
        self._key, self._paths, self._size, self._resample = key, (images, labels), size, resample
        self._reading: Reading = reading
        self._arrays: dict[Path, VerifiedArray] = {}

    def __getstate__(self) -> dict[str, Any]:
        # a memory map would travel to another process as a copy of everything in it
        return {**self.__dict__, "_arrays": {}}

    def resized_image(self, index: int) -> Image:
        """The image of the dataset itself at the copy's size."""
        image = picture_for(self.dataset, index, size=self._size, reading=self._reading)
        return RESIZERS[self._reading](image, self._size, self._resample)

    def resized_label(self, index: int) -> Label:
        """The label of the dataset itself at the copy's size."""
        return resized_label(self.dataset.label(index), self._size)

    def image(self, index: int) -> Image:
        return self._item(self._paths[0], index, (3,), self.resized_image)

    def label(self, index: int) -> Label:
        if self._paths[1] is None:
            raise UserError(f"{self.spec}: this resized copy was made without labels")
        return self._item(self._paths[1], index, (), self.resized_label)

    def _item(
        self, path: Path, index: int, channels: tuple[int, ...], again: Callable[[int], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        if path not in self._arrays:
            width, height = self._size
            self._arrays[path] = VerifiedArray(path, (len(self), height, width, *channels))
        found = self._arrays[path].item(index)
        if found is None:
            log.warning("%s: item %d is damaged and is read from its file instead", path, index)
            return again(index)
        return found

    def fingerprint(self) -> str:
        return hash_of(["cached", self._key])


def _made(
    path: Path,
    shape: tuple[int, ...],
    read: Callable[[int], NDArray[np.uint8]],
    what: str,
    progress: Progress | None,
) -> None:
    """Writes an array file, unless it is there and whole."""
    if path.is_file():
        try:
            VerifiedArray(path, shape)
            return
        except UserError as error:
            log.info("%s: it is made again", error)
    write_array(path, shape, reported(in_parallel(read, shape[0]), shape[0], what, progress))


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
