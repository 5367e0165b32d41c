"""Dataset-wide histograms of uncertainty per predicted class: thresholds in one pass and in constant memory.

Linear bins fail where scores saturate (half the pixels of easy classes lie above 0.9999), logarithmic ones where a weak
network's scores crowd near the maximum. The bins here are the common refinement of both: the number of an uncertainty's
bin is the number of logarithmic edges plus the number of linear edges at or below it. Logarithmic edges come from the
top bits of the float32 pattern (512 per power of two, a resolution of 0.2 % at every magnitude down to 1e-38, with a
bin of its own for zero); linear edges are 2^-18 = 3.8e-6 apart. That is 327,169 bins, 2.6 MB per class. Beyond 32
classes, neighbouring bins are taken together, so that no histogram needs more memory than that of 32.

A bin is never split: it is taken whole or left out, whichever comes nearer what was asked. A requested share of a class
is thus met within half the share of its heaviest bin, far below 0.5 % unless more than 1 % of the class has (nearly)
the same score; the share achieved is exact and is what gets reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.errors import UserError
from acclimate.io.checksums import digest_of
from acclimate.io.files import write_bytes
from acclimate.pseudo.confidence import CONFIDENCES, Confidence

_SHIFT = 14
"""Bits of the float32 pattern left out: 23 - 14 = 9 bits of mantissa remain, 512 logarithmic bins per power of two."""
_LINEAR = 1 << 18
_LOGARITHMIC = int(np.float32(1.0).view(np.int32)) >> _SHIFT
BINS = _LOGARITHMIC + _LINEAR + 1
"""Bins per class; the last one holds exactly 1."""
MOST_FINE = 32
"""Classes up to which every bin counts alone; with 255, the histograms of a labelled set would need 4 GB."""
_PIXELS_AT_ONCE = 1 << 17
"""Pixels counted at a time: their 8-byte positions stay in the cache."""


def bin_of(uncertainty: Tensor) -> Tensor:
    """The bin of every uncertainty: int32 of the same shape; a non-decreasing function of float32 values in [0, 1]."""
    # abs() turns -0.0, whose bit pattern is negative, into 0.0
    logarithmic = uncertainty.abs().view(torch.int32) >> _SHIFT
    return logarithmic.add_((uncertainty * _LINEAR).to(torch.int32))


def bins_for(classes: int) -> int:
    """How many bins a class has in a histogram of so many: ``BINS``, or with neighbours taken together, fewer."""
    return -(-BINS // max(1, -(-classes // MOST_FINE)))


def _together(bins: int) -> int:
    """How many neighbouring bins are one where there are ``bins``."""
    return -(-BINS // bins)


@cache
def bin_edges(bins: int = BINS) -> NDArray[np.float64]:
    """Edges of the bins, (bins + 1,): bin k holds edges[k] <= u < edges[k + 1]; some bins are empty by construction."""
    logarithmic = (np.arange(1, _LOGARITHMIC + 1, dtype=np.int32) << _SHIFT).view(np.float32).astype(np.float64)
    linear = np.arange(1, _LINEAR + 1) / _LINEAR
    after_one = np.nextafter(np.float32(1), np.float32(2))
    fine = np.concatenate([[0.0], np.sort(np.concatenate([logarithmic, linear]))])
    edges: NDArray[np.float64] = np.append(fine[:: _together(bins)], after_one)
    edges.setflags(write=False)
    return edges


def accumulate(counts: Tensor, rows: Tensor, uncertainty: Tensor) -> None:
    """Adds one to ``counts[rows, bin_of(uncertainty)]`` for every pixel, in place.

    Args:
        counts: (R, bins) int64, contiguous; with fewer than ``BINS``, neighbours are counted together.
        rows: (n,) integers in [0, R).
        uncertainty: (n,) float32 in [0, 1].
    """
    flat, bins = counts.view(-1), counts.shape[1]
    together = _together(bins)
    ones = torch.ones(min(len(rows), _PIXELS_AT_ONCE), dtype=torch.int64, device=flat.device)
    for start in range(0, len(rows), _PIXELS_AT_ONCE):
        part = slice(start, start + _PIXELS_AT_ONCE)
        # in place: a bincount would build and add a table of all classes and bins for every image
        places = bin_of(uncertainty[part])
        if together > 1:
            places = places.div_(together, rounding_mode="floor")
        position = rows[part].to(torch.int64).mul_(bins).add_(places)
        flat.scatter_add_(0, position, ones[: len(position)])


@dataclass(frozen=True)
class Cut:
    """Where a class is divided into kept (below) and left out (above).

    Attributes:
        after_kept: the upper edge of the last bin kept, 0 if none is.
        first_dropped: the lower edge of the first non-empty bin left out; just above 1 if none is.
        kept: pixels below.
        total: pixels of the class.
    """

    after_kept: float
    first_dropped: float
    kept: int
    total: int


class ScoreHistogram:
    """Counts of pixels by predicted class and uncertainty over a whole set of images.

    Args:
        classes: how many; at most 255.
        confidence: whose uncertainties these are.
        device: where counting happens; what is added is moved there.

    Attributes:
        counts: (classes, bins) int64, see :func:`bins_for`. Those of several processes add up by summing them, or
            by :meth:`merge`.
    """

    def __init__(self, classes: int, confidence: Confidence, *, device: torch.device | str = "cpu") -> None:
        if not 0 < classes <= 255:
            raise ValueError(f"a score histogram needs between 1 and 255 classes, got {classes}")
        self.confidence = confidence
        self.counts = torch.zeros(classes, bins_for(classes), dtype=torch.int64, device=device)

    @classmethod
    def of(cls, counts: Tensor, confidence: Confidence) -> ScoreHistogram:
        """The histogram with the given counts, (classes, bins) int64, which it shares."""
        if counts.ndim != 2 or counts.shape[1] != bins_for(len(counts)) or counts.dtype != torch.int64:
            raise ValueError(f"expected int64 counts (classes, bins), got {counts.dtype} {tuple(counts.shape)}")
        histogram = cls.__new__(cls)
        histogram.confidence, histogram.counts = confidence, counts
        return histogram

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.counts.shape[0]

    @property
    def edges(self) -> NDArray[np.float64]:
        """The edges of its bins."""
        return bin_edges(self.counts.shape[1])

    @property
    def pixels(self) -> list[int]:
        """Pixels predicted as each class."""
        return [int(total) for total in self.counts.cpu().numpy().sum(axis=1)]

    def add(self, prediction: Tensor, uncertainty: Tensor) -> None:
        """Counts the pixels of one or several images of any size.

        Args:
            prediction: uint8 classes of any shape; pixels of no class (void 255) are left out.
            uncertainty: float32 in [0, 1], the same shape; NaN pixels are left out.
        """
        rows, values = countable(prediction, uncertainty, self.classes, self.counts.device)
        accumulate(self.counts, rows, values)

    def merge(self, other: ScoreHistogram) -> None:
        """Adds the counts of another histogram of the same classes and confidence."""
        if (other.classes, other.confidence) != (self.classes, self.confidence):
            raise ValueError(
                f"cannot merge a histogram of {other.confidence} over {other.classes} classes into one of "
                f"{self.confidence} over {self.classes}"
            )
        self.counts += other.counts.to(self.counts.device)

    def cut(self, index: int | None, target: float, *, ties: bool) -> Cut:
        """The boundary between bins below which the number of pixels is nearest to ``target``.

        Args:
            index: the class; None for all of them together.
            target: how many pixels to keep.
            ties: whether a bin is kept when keeping it and leaving it out come equally near.
        """
        cumulative, edges = self._cumulative(index), self.edges
        total = int(cumulative[-1])
        split = int(np.searchsorted(cumulative, target, side="right"))
        if split < len(cumulative):
            before, after = int(cumulative[split - 1]) if split else 0, int(cumulative[split])
            keep = after - target < target - before or (ties and after - target == target - before)
            kept = after if keep else before
        else:
            kept = total
        last = int(np.searchsorted(cumulative, kept, side="left"))
        first = int(np.searchsorted(cumulative, kept, side="right"))
        return Cut(float(edges[last + 1]) if kept else 0.0, float(edges[first]), kept, total)

    def quantile(self, index: int | None, portion: float) -> float:
        """The lower edge of the bin that holds the pixel of rank floor(portion * pixels), lowest uncertainty first.

        Args:
            index: the class; None for all of them together.
            portion: in [0, 1].

        Raises:
            ValueError: there is no pixel.
        """
        cumulative = self._cumulative(index)
        total = int(cumulative[-1])
        if total == 0:
            raise ValueError("a quantile of no pixels")
        rank = min(int(portion * total), total - 1)
        return float(self.edges[np.searchsorted(cumulative, rank, side="right")])

    def below(self, limits: Sequence[float]) -> list[float]:
        """Pixels of each class with u < limit; exact where a limit is an edge of a bin, else interpolated inside it.

        Args:
            limits: one per class.
        """
        if len(limits) != self.classes:
            raise ValueError(f"expected {self.classes} limits, got {len(limits)}")
        edges, found = self.edges, []
        counts = self.counts.cpu().numpy()  # sums of int64 are many times faster there
        for index, limit in enumerate(limits):
            position = int(np.searchsorted(edges, limit, side="right")) - 1
            count = float(counts[index, : max(position, 0)].sum())
            if 0 <= position < counts.shape[1]:
                share = (limit - edges[position]) / (edges[position + 1] - edges[position])
                count += float(share) * int(counts[index, position])
            found.append(count)
        return found

    def _cumulative(self, index: int | None) -> NDArray[np.int64]:
        row = self.counts.sum(dim=0) if index is None else self.counts[index]
        return cast("NDArray[np.int64]", row.cpu().numpy().cumsum())


def countable(prediction: Tensor, uncertainty: Tensor, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pixels of a class with a score, flattened: (n,) uint8 classes and (n,) float32 uncertainties in [0, 1]."""
    if prediction.shape != uncertainty.shape or prediction.dtype != torch.uint8 or uncertainty.dtype != torch.float32:
        raise ValueError(
            f"expected uint8 classes and float32 uncertainties of one shape, got {prediction.dtype} "
            f"{tuple(prediction.shape)} and {uncertainty.dtype} {tuple(uncertainty.shape)}"
        )
    rows, values = prediction.to(device).reshape(-1), uncertainty.to(device).reshape(-1)
    if rows.numel() == 0:
        return rows, values
    lowest, highest = torch.aminmax(values)
    # NaN makes both NaN; looking before masking spares most images two copies
    if int(rows.max()) < classes and bool(lowest >= 0) and bool(highest <= 1):
        return rows, values
    valid = (rows < classes) & (values >= 0)
    return rows[valid], values[valid].clamp_(max=1.0)


def save_histograms(path: Path, histograms: Mapping[str, ScoreHistogram], *, progress: Mapping[str, str]) -> None:
    """Writes an interrupted pass, atomically: all its histograms, and how far it came, in one safetensors file.

    Args:
        path: where to.
        histograms: by name; only bins that are not empty are written.
        progress: whatever the caller needs to go on where it stopped, and to know that it is the same pass.
    """
    tensors, header = {}, {f"progress.{key}": value for key, value in progress.items()}
    for name, histogram in histograms.items():
        flat = histogram.counts.cpu().view(-1)
        tensors[f"{name}.bins"] = flat.nonzero().view(-1)
        tensors[f"{name}.counts"] = flat[tensors[f"{name}.bins"]]
        header[f"histogram.{name}"] = f"{histogram.confidence} {histogram.classes} {histogram.counts.shape[1]}"
    header["sha256"] = digest_of(header, tensors)
    write_bytes(path, safetensors.torch.save(tensors, metadata=header))


def load_histograms(
    path: Path, *, device: torch.device | str = "cpu"
) -> tuple[dict[str, ScoreHistogram], dict[str, str]]:
    """The histograms and the progress that :func:`save_histograms` wrote.

    Raises:
        UserError: the file is no such file, or one of a version with other bins.
    """
    histograms, progress = {}, {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (the file is no mapping)
            if header.pop("sha256", None) != digest_of(header, tensors):
                raise ValueError("its content does not match its checksum")
            for key, value in header.items():
                kind, _, name = key.partition(".")
                if kind == "progress":
                    progress[name] = value
                    continue
                confidence, classes, bins = value.split()
                if int(bins) != bins_for(int(classes)) or confidence not in CONFIDENCES:
                    raise ValueError("it was written by another version")
                histogram = ScoreHistogram(int(classes), confidence, device=device)
                positions, counts = tensors[f"{name}.bins"], tensors[f"{name}.counts"]
                histogram.counts.view(-1)[positions.to(device)] = counts.to(device)
                histograms[name] = histogram
    except (OSError, ValueError, IndexError, RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} does not hold the state of a labelling pass ({error}); delete it and run the same command again"
        ) from error
    return histograms, progress
