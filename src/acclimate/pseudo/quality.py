"""How good pseudo-labels are, where the images have labels: ESL Table 4, and section 4.2's claim about boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from acclimate.labels import VOID

Void = Literal["wrong", "ignored"]
"""What a selected pixel whose true label is void counts: an error, as Table 4 appears to do, or nothing."""
VOIDS: tuple[Void, ...] = ("wrong", "ignored")


class SelectionQuality:
    """Counts of (true class, pseudo-label) pairs among the selected pixels of a whole set.

    Args:
        classes: names in train-id order.

    Attributes:
        counts: (classes + 1, classes) int64; rows are true classes, the last one void; columns pseudo-labels. Those of
            several processes add up.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.counts: NDArray[np.int64] = np.zeros((len(classes) + 1, len(classes)), dtype=np.int64)

    def add(self, label: NDArray[np.uint8], selected: NDArray[np.uint8]) -> None:
        """Counts the pixels of one or several images.

        Args:
            label: uint8 true train ids of any shape, void 255.
            selected: uint8 pseudo-labels of the same shape, void where not selected.
        """
        if label.shape != selected.shape or label.dtype != np.uint8 or selected.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 maps of one shape, got {label.dtype} {label.shape} and {selected.dtype} "
                f"{selected.shape}"
            )
        n = len(self.classes)
        pairs = label.reshape(-1).astype(np.int64) << 8 | selected.reshape(-1)
        table = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)[:, :n]
        self.counts[:n] += table[:n]
        self.counts[n] += table[n:].sum(axis=0)

    def selected(self) -> NDArray[np.int64]:
        """Selected pixels of each class."""
        total: NDArray[np.int64] = self.counts.sum(axis=0)
        return total

    def error_share(self, *, void: Void) -> list[float | None]:
        """Share of wrong pixels among those selected as each class, fractions; None where none counts."""
        wrong, counted = self._wrong(void)
        return [share_of(int(w), int(n)) for w, n in zip(wrong, counted, strict=True)]

    def overall_error_share(self, *, void: Void) -> float | None:
        """Share of wrong pixels among all selected ones."""
        wrong, counted = self._wrong(void)
        return share_of(int(wrong.sum()), int(counted.sum()))

    def _wrong(self, void: Void) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        counts = self.counts if void == "wrong" else self.counts[:-1]
        counted = counts.sum(axis=0)
        return counted - np.diagonal(counts), counted


def relative_change(before: float | None, after: float | None) -> float | None:
    """(after - before) / before, from unrounded values as in Table 4; None where undefined."""
    return None if before is None or after is None or before == 0 else (after - before) / before


def quality_table(softmax: SelectionQuality, entropy: SelectionQuality) -> dict[str, Any]:
    """ESL Table 4 as JSON: error shares per class and overall for both confidences, in both conventions for void.

    Keys: ``void wrong`` and ``void ignored``, each with ``softmax``, ``entropy`` and ``relative change`` (lists in
    class order) and the same with `` overall`` appended (numbers). All are fractions.
    """
    table: dict[str, Any] = {}
    for void in VOIDS:
        by_class = {"softmax": softmax.error_share(void=void), "entropy": entropy.error_share(void=void)}
        overall = {
            name: part.overall_error_share(void=void) for name, part in (("softmax", softmax), ("entropy", entropy))
        }
        change = [relative_change(*pair) for pair in zip(by_class["softmax"], by_class["entropy"], strict=True)]
        table[f"void {void}"] = {
            **by_class,
            "relative change": change,
            **{f"{name} overall": value for name, value in overall.items()},
            "relative change overall": relative_change(overall["softmax"], overall["entropy"]),
        }
    return table


def near_boundary(prediction: Tensor, *, distance: int = 5) -> Tensor:
    """Pixels with another class within ``distance`` pixels, horizontally, vertically or diagonally (a square window).

    Args:
        prediction: (B, H, W) or (H, W) uint8 classes.
        distance: in pixels.

    Returns:
        bool, the same shape.
    """
    if distance <= 0:
        return torch.zeros_like(prediction, dtype=torch.bool)
    values = prediction.reshape(-1, 1, *prediction.shape[-2:]).float()
    # max(x) and -min(x) of the window in one separable pooling; their sum is 0 where the window holds a single class
    both = torch.cat([values, -values], dim=1)
    width = 2 * distance + 1
    rows = functional.max_pool2d(both, (1, width), stride=1, padding=(0, distance))
    window = functional.max_pool2d(rows, (width, 1), stride=1, padding=(distance, 0))
    return window.sum(dim=1).gt(0).view(prediction.shape)


_NEITHER, _REMOVED, _ADDED, _BOTH = range(4)
_RIGHT, _WRONG, _VOID = range(3)


class SelectionChange:
    """What changes between softmax- and entropy-selected pseudo-labels, near boundaries and inside regions.

    ESL section 4.2: the maps agree inside regions; around boundaries the entropy rises even where the maximum
    probability stays high, so pixels are (rightly) removed there, and far fewer are added.

    Args:
        distance: pixels up to which a boundary of the prediction is near.

    Attributes:
        counts: (2, 4, 3) int64: inside / near; selected by neither / softmax only ("removed") / entropy only
            ("added") / both; prediction right / wrong / true label void or unknown. Those of several processes add up.
    """

    def __init__(self, *, distance: int = 5) -> None:
        self.distance = distance
        self.counts: NDArray[np.int64] = np.zeros((2, 4, 3), dtype=np.int64)

    def add(self, prediction: Tensor, softmax: Tensor, entropy: Tensor, label: Tensor | None = None) -> None:
        """Counts the pixels of one or several images.

        Args:
            prediction: (B, H, W) or (H, W) uint8 classes.
            softmax: pseudo-labels selected by the maximum probability, void where not selected.
            entropy: the same by entropy.
            label: uint8 true train ids, void 255; None where unknown.
        """
        near = near_boundary(prediction, distance=self.distance)
        state = softmax.ne(VOID).to(torch.uint8) + 2 * entropy.ne(VOID).to(torch.uint8)
        if label is None:
            judgement = torch.full_like(prediction, _VOID)
        else:
            judgement = label.ne(prediction).to(torch.uint8).masked_fill_(label == VOID, _VOID)
        code = (near.to(torch.uint8) * 12 + state * 3 + judgement).reshape(-1)
        self.counts += torch.bincount(code.long(), minlength=24).view(2, 4, 3).cpu().numpy()

    def summary(self) -> dict[str, Any]:
        """Shares as JSON, fractions; null where undefined.

        For ``near boundaries`` and ``inside regions``: ``pixels`` (share of all), ``removed`` and ``added`` (share of
        the zone's pixels that only softmax or only entropy selects), ``removed wrong`` and ``added wrong`` (share of
        wrong predictions among them, void ignored). Besides: the share of all removed and of all added pixels that lie
        near a boundary.
        """
        total = int(self.counts.sum())
        result: dict[str, Any] = {"distance": self.distance}
        for zone, name in ((1, "near boundaries"), (0, "inside regions")):
            counts = self.counts[zone]
            pixels = int(counts.sum())
            row = {"pixels": share_of(pixels, total)}
            for state, change in ((_REMOVED, "removed"), (_ADDED, "added")):
                wrong, right = int(counts[state, _WRONG]), int(counts[state, _RIGHT])
                row[change] = share_of(int(counts[state].sum()), pixels)
                row[f"{change} wrong"] = share_of(wrong, wrong + right)
            result[name] = row
        for state, change in ((_REMOVED, "removed"), (_ADDED, "added")):
            changed = self.counts[:, state].sum(axis=1)
            result[f"{change} near boundaries"] = share_of(int(changed[1]), int(changed.sum()))
        return result


def share_of(part: float, whole: float) -> float | None:
    """``part / whole``, or None where there is nothing to share."""
    return part / whole if whole else None
