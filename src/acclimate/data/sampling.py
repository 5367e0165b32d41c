"""Which labelled images are drawn: rare classes more often, as FADA samples its source."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.sample import Dataset
from acclimate.errors import UserError
from acclimate.io.files import atomic, hash_of

Sampler = Callable[[int], int]
"""Position in the endless sequence of training items -> index of the image: a pure function."""

SUB_EPOCH = 3000
"""Draws after which FADA forgets which classes it has seen."""
_VERSION, _BALANCED = 1, 2


def class_presence(
    dataset: Dataset, cache: Path | None = None, *, progress: Progress | None = None
) -> NDArray[np.bool_]:
    """Which classes each image of a labelled set shows, (images, classes).

    Args:
        dataset: every label is read once, at native size; one pixel is enough.
        cache: folder in which results are kept by the dataset's fingerprint; None: look again.
        progress: told how far it is; None: a bar on stderr.

    Raises:
        UserError: the set has no labels, or a label file is at fault.
    """
    if not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no labels, so classes cannot be balanced on it")
    kept = Path(cache) / f"{hash_of([_VERSION, dataset.fingerprint()])}-presence.npy" if cache is not None else None
    if kept is not None and kept.is_file():
        found: NDArray[np.bool_] = np.load(kept, allow_pickle=False)
        return found
    count, classes = len(dataset), len(dataset.class_space)

    def seen(index: int) -> NDArray[np.bool_]:
        present: NDArray[np.bool_] = np.bincount(dataset.label(index).ravel(), minlength=256)[:classes] > 0
        return present

    rows = reported(in_parallel(seen, count), count, f"classes of {dataset.spec}", progress)
    presence = np.stack(list(rows))
    if kept is not None:
        with atomic(kept) as temporary, open(temporary, "wb") as stream:
            np.save(stream, presence, allow_pickle=False)
    return presence


class ClassBalanced:
    """FADA's source sampling: each draw picks a class, then the next image of that class's own list.

    A class is picked with probability proportional to 1 / ln(1.01 + d), where d is its share of all the classes that
    the images drawn so far in this sub-epoch show: what has been seen little is looked for. Each sub-epoch goes through
    every class's list in a random order of its own, again from the start once it is through.

    Calling it with a position gives an image's index, as a pure function of the seed and the position.

    Args:
        presence: (images, classes), see :func:`class_presence`; classes no image shows are never picked.
        seed: of the draws; not negative.

    Raises:
        ValueError: no image shows any class.
    """

    def __init__(self, presence: NDArray[np.bool_], *, seed: int, sub_epoch: int = SUB_EPOCH) -> None:
        if not presence.any():
            raise ValueError("no image shows any class")
        self.presence, self.seed, self.sub_epoch = presence, seed, sub_epoch

    def __call__(self, position: int) -> int:
        number, offset = divmod(position, self.sub_epoch)
        return int(_drawn(self, number)[offset])

    def draw(self, number: int) -> NDArray[np.int64]:
        """The images of a sub-epoch in order."""
        rng = np.random.default_rng([self.seed, _BALANCED, number])
        classes = np.flatnonzero(self.presence.any(axis=0))
        lists = [rng.permutation(np.flatnonzero(self.presence[:, index])) for index in classes]
        presence = self.presence[:, classes]
        used, seen = np.zeros(len(classes), dtype=np.int64), np.zeros(len(classes))
        images = np.empty(self.sub_epoch, dtype=np.int64)
        for draw in range(self.sub_epoch):
            weights = class_weights(seen)
            picked = int(rng.choice(len(classes), p=weights))
            images[draw] = lists[picked][used[picked] % len(lists[picked])]
            used[picked] += 1
            seen += presence[images[draw]]
        return images


def class_weights(seen: NDArray[np.floating]) -> NDArray[np.float64]:
    """The probability of each class, 1 / ln(1.01 + d) over its sum, where d is ``seen`` over its sum."""
    share = seen / seen.sum() if seen.any() else np.zeros(len(seen))
    weights: NDArray[np.float64] = 1.0 / np.log(1.01 + share)
    weights /= weights.sum()
    return weights


@lru_cache(maxsize=4)  # a batch may straddle two sub-epochs
def _drawn(sampler: ClassBalanced, number: int) -> NDArray[np.int64]:
    return sampler.draw(number)
