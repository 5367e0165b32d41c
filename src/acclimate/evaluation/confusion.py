"""Confusion matrices and the scores read from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Absent = Literal["skip", "nanmean", "zero"]
"""What a class without a single ground-truth pixel counts: nothing; an IoU of 0 if it was predicted; always 0."""

_BLOCK = 1 << 17
"""Pixels counted at a time: bincount widens its input to 8 bytes, and a block of this size stays in the cache."""


class ConfusionMatrix:
    """Counts of (ground truth, prediction) pairs over a whole split.

    Rows are the ground truth, columns the prediction, over the pixels whose *ground truth* is one of the classes. A
    prediction that is none of the classes (void, or an output the protocol does not score) is an error of its row: it
    lowers the IoU of the true class and enters no column.

    A class absent from the ground truth has no IoU: by the default rule, ``absent="skip"``, it is None and left out of
    the mean. ``absent="nanmean"`` does so only if it was never predicted either, and counts it as 0 otherwise: what a
    nanmean over intersection / union makes of it (the official Cityscapes evaluation; AdaptSegNet, ADVENT, ESL, and BDL
    over 19). ``absent="zero"`` always counts it as 0, as FADA's and CRST's scripts do. Where every class occurs, as
    in Cityscapes val, all three are the same.

    Args:
        classes: class names in train-id order; at most 255.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        if not 0 < len(classes) <= 255:
            raise ValueError(f"a confusion matrix needs between 1 and 255 classes, got {len(classes)}")
        self.classes = tuple(classes)
        self._counts: NDArray[np.int64] = np.zeros((len(classes), len(classes) + 1), dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels by (ground truth, prediction), (n, n + 1); the last column holds predictions outside the classes."""
        counts: NDArray[np.int64] = self._counts.copy()
        return counts

    def take(self, counts: NDArray[np.int64]) -> None:
        """Adds the :attr:`counts` of another matrix of these classes."""
        self._counts += counts

    def add(self, label: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Counts the pixels of one or several images.

        Args:
            label: uint8 train ids of any shape; pixels with an id of n or more (void 255 among them) are not scored.
            prediction: uint8 train ids of the same shape.

        Raises:
            ValueError: the shapes differ or an array is not uint8.
        """
        if label.shape != prediction.shape:
            raise ValueError(f"the label is {label.shape} but the prediction {prediction.shape}")
        if label.dtype != np.uint8 or prediction.dtype != np.uint8:
            raise ValueError(f"expected uint8 train ids, got {label.dtype} and {prediction.dtype}")
        n = len(self.classes)
        truth, guess = label.reshape(-1), prediction.reshape(-1)
        for start in range(0, truth.size, _BLOCK):
            pairs = truth[start : start + _BLOCK].astype(np.uint16) << 8 | guess[start : start + _BLOCK]
            block = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)[:n]
            self._counts[:, :n] += block[:, :n]
            self._counts[:, n] += block[:, n:].sum(axis=1)

    def merge(self, other: ConfusionMatrix) -> None:
        """Adds the counts of another matrix over the same classes."""
        if other.classes != self.classes:
            raise ValueError(f"cannot merge confusion matrices of {self.classes} and {other.classes}")
        self._counts += other._counts

    def iou(self, *, absent: Absent = "skip") -> list[float | None]:
        """Intersection over union of each class, fractions in class order; see the class for ``absent``."""
        n = len(self.classes)
        intersection = np.diagonal(self._counts)
        present = self._counts.sum(axis=1)
        union = present + self._counts[:, :n].sum(axis=0) - intersection
        counted = {"skip": present, "nanmean": union, "zero": np.ones(n)}[absent]
        return [float(intersection[c] / max(union[c], 1)) if counted[c] else None for c in range(n)]

    def averaged(self, classes: Iterable[str] | None = None, *, absent: Absent = "skip") -> list[str]:
        """The classes, of all or of the named ones, that enter :meth:`miou`."""
        scores = dict(zip(self.classes, self.iou(absent=absent), strict=True))
        wanted = self.classes if classes is None else list(classes)
        strangers = [name for name in wanted if name not in scores]
        if strangers:
            raise ValueError(f"not among the scored classes: {', '.join(strangers)}")
        return [name for name in wanted if scores[name] is not None]

    def miou(self, classes: Iterable[str] | None = None, *, absent: Absent = "skip") -> float | None:
        """Mean IoU over the classes, or over the named ones: a fraction, or None when none of them can be scored.

        A mean over a subset takes the IoUs of the whole matrix: predictions of the classes left out still count as
        errors of the others, as in the published means over 13 of SYNTHIA's 16 classes.
        """
        scores = dict(zip(self.classes, self.iou(absent=absent), strict=True))
        values = [value for name in self.averaged(classes, absent=absent) if (value := scores[name]) is not None]
        return float(np.mean(values)) if values else None

    def subset_miou(self, subsets: dict[str, tuple[str, ...]], *, absent: Absent = "skip") -> dict[str, float | None]:
        """:meth:`miou` over each named subset of the classes."""
        return {name: self.miou(classes, absent=absent) for name, classes in subsets.items()}

    def pixel_accuracy(self) -> float | None:
        """Share of the scored pixels that are right, a fraction; None when no pixel was scored."""
        total = int(self._counts.sum())
        return float(np.trace(self._counts)) / total if total else None
