"""Datasets made from datasets: a part of one, one whose labels are pseudo-labels, one whose images are translated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acclimate.data.readers.files import read_ids, read_image
from acclimate.data.sample import Dataset, Image, Label
from acclimate.errors import UserError
from acclimate.io.checksums import read_verified_json
from acclimate.io.files import hash_of, hash_of_file
from acclimate.labels import VOID

LABEL_FOLDER, MANIFEST = "labels", "manifest.json"
IMAGE_FOLDER, TRANSLATION = "images", "translation.json"


class Subset(Dataset):
    """Some images of a dataset, in the order given."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)
        self.spec, self.split = dataset.spec, dataset.split
        self.class_space, self.has_labels = dataset.class_space, dataset.has_labels
        self.names = [dataset.names[index] for index in self.indices]

    def image(self, index: int) -> Image:
        return self.dataset.image(self.indices[index])

    def reduced_image(self, index: int, size: tuple[int, int]) -> Image:
        return self.dataset.reduced_image(self.indices[index], size)

    def label(self, index: int) -> Label:
        return self.dataset.label(self.indices[index])

    def fingerprint(self) -> str:
        return hash_of(["subset", self.dataset.fingerprint(), self.indices])


class PseudoLabelled(Dataset):
    """A dataset whose labels are the pseudo-labels of a folder; its own labels, if any, are never read.

    Args:
        dataset: gives the images, names and class space.
        folder: holds ``labels/NAME.png`` (8-bit train ids, void 255) for every name, and ``manifest.json``.

    Raises:
        UserError: the folder is no finished folder of pseudo-labels, or lacks one for some image.
    """

    has_labels = True

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.dataset, self.folder = dataset, Path(folder)
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names = dataset.names
        if not (self.folder / MANIFEST).is_file():
            raise UserError(
                f"{self.folder} holds no {MANIFEST}, so it is no finished folder of pseudo-labels; make one with "
                f"`acclimate label CHECKPOINT --data {dataset.spec} -o {self.folder}`"
            )
        missing = [name for name in self.names if not self._path(name).is_file()]
        if missing:
            raise UserError(
                f"{self.folder} has no pseudo-label for {len(missing)} of {len(self.names)} images of {self.spec} "
                f"({self.split}), the first being {self._path(missing[0])}; label this data set with `acclimate label`"
            )

    def _path(self, name: str) -> Path:
        return self.folder / LABEL_FOLDER / f"{name}.png"

    def image(self, index: int) -> Image:
        return self.dataset.image(index)

    def reduced_image(self, index: int, size: tuple[int, int]) -> Image:
        return self.dataset.reduced_image(index, size)

    def label(self, index: int) -> Label:
        path = self._path(self.names[index])
        label = read_ids(path)
        classes = len(self.class_space)
        if label.dtype != np.uint8 or bool(((label >= classes) & (label != VOID)).any()):
            raise UserError(
                f"{path} holds values that are no train ids of {self.class_space.name} (0-{classes - 1}, void {VOID}); "
                "it was made for other classes: label again with this run's checkpoint"
            )
        return label.astype(np.uint8, copy=False)

    def fingerprint(self) -> str:
        return hash_of(["pseudo-labelled", self.dataset.fingerprint(), hash_of_file(self.folder / MANIFEST)])


def translated_path(folder: Path, name: str) -> Path:
    """Where the translated image of that name is, or will be."""
    return folder / IMAGE_FOLDER / f"{name}.png"


class Translated(Dataset):
    """A dataset whose images are those of a folder of translated ones; labels stay its own.

    Args:
        dataset: gives names, labels and class space.
        folder: holds ``images/NAME.png`` for every name, and ``translation.json``.
        finished: whether the folder must be finished.

    Raises:
        UserError: the folder is no finished translation, or lacks some image.
    """

    def __init__(self, dataset: Dataset, folder: Path, *, finished: bool = True) -> None:
        self.dataset, self.folder = dataset, Path(folder)
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names, self.has_labels = dataset.names, dataset.has_labels
        if finished and not (self.folder / TRANSLATION).is_file():
            raise UserError(
                f"{self.folder} holds no {TRANSLATION}, so it is no finished translation; make one with "
                f"`acclimate translate --source {dataset.spec} --target KIND:PATH -o {self.folder}`"
            )
        missing = [name for name in self.names if not translated_path(self.folder, name).is_file()]
        if missing:
            raise UserError(
                f"{self.folder} lacks {len(missing)} of the {len(self.names)} images of {self.spec} ({self.split}), "
                f"the first being {translated_path(self.folder, missing[0])}; translate this data set"
            )

    def image(self, index: int) -> Image:
        return read_image(translated_path(self.folder, self.names[index]))

    def label(self, index: int) -> Label:
        return self.dataset.label(index)

    def fingerprint(self) -> str:
        identity = read_verified_json(self.folder / TRANSLATION)["identity"]
        return hash_of(["translated", self.dataset.fingerprint(), identity])


def untranslated(dataset: Dataset) -> Dataset:
    """The dataset below any number of translations laid over each other."""
    while isinstance(dataset, Translated):
        dataset = dataset.dataset
    return dataset
