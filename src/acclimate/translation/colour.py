"""The baseline every translator has to beat: a curve per colour channel. And the distance it is measured by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acclimate.data.sample import Image, evenly_spaced

LEVELS = 256
SAMPLED = 200
"""Images of a set, evenly spaced, that colours are counted on."""


class Pictures(Protocol):
    """What has images by index: a data set, or one seen through a function."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image:
        """(H, W, 3) uint8 RGB."""
        ...


def channel_histograms(images: Iterable[Image]) -> NDArray[np.int64]:
    """How often each level 0-255 occurs in each channel of all images together, (3, 256)."""
    counts = np.zeros((3, LEVELS), dtype=np.int64)
    for image in images:
        for channel in range(3):
            counts[channel] += np.bincount(image[..., channel].ravel(), minlength=LEVELS)
    return counts


def sampled_images(dataset: Pictures, *, count: int = SAMPLED) -> Iterable[Image]:
    """At most ``count`` images of a set, evenly spaced."""
    return (dataset.image(index) for index in evenly_spaced(count, len(dataset)))


def wasserstein(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Wasserstein-1 distance of each channel, in grey levels (0-255): the area between the cumulative histograms.

    Args:
        first, second: (3, 256) counts, as :func:`channel_histograms` gives.
    """
    distance: NDArray[np.float64] = np.abs(_cumulative(first) - _cumulative(second)).sum(axis=1)
    return distance


def histogram_curves(source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Per channel, the monotone curve that gives the source the target's histogram, (3, 256) uint8.

    A level goes to the smallest one whose cumulative share in the target reaches the middle of its own.
    """
    middle = _cumulative(source) - source / (2 * np.maximum(source.sum(axis=1, keepdims=True), 1))
    reached = _cumulative(target)
    curves = [np.searchsorted(reached[channel], middle[channel], side="left") for channel in range(3)]
    matched: NDArray[np.uint8] = np.stack(curves).clip(0, LEVELS - 1).astype(np.uint8)
    return matched


@dataclass(frozen=True)
class ColourLine:
    """Grey level v of channel c becomes ``gain[c] * v + shift[c]``; (3,) each, levels from 0 to 255."""

    gain: NDArray[np.float64]
    shift: NDArray[np.float64]

    def inverse(self) -> ColourLine:
        """The line back."""
        return ColourLine(1 / self.gain, -self.shift / self.gain)


def mean_std_line(source: NDArray[np.int64], target: NDArray[np.int64]) -> ColourLine:
    """The line that gives each channel of the source the target's mean and deviation; its slope is positive.

    Args:
        source, target: (3, 256) counts, as :func:`channel_histograms` gives.
    """
    (mean, deviation), (new_mean, new_deviation) = _moments(source), _moments(target)
    gain = np.maximum(new_deviation, 1e-3) / np.maximum(deviation, 1e-3)
    return ColourLine(gain, new_mean - gain * mean)


def mean_std_curves(source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.uint8]:
    """:func:`mean_std_line` as a table, (3, 256) uint8."""
    line = mean_std_line(source, target)
    levels = line.gain[:, None] * np.arange(LEVELS) + line.shift[:, None]
    table: NDArray[np.uint8] = levels.round().clip(0, LEVELS - 1).astype(np.uint8)
    return table


def through_curves(image: Image, curves: NDArray[np.uint8]) -> Image:
    """Every channel of an image through its curve."""
    return np.stack([curves[channel][image[..., channel]] for channel in range(3)], axis=-1)


def colour_distances(source: Pictures, translated: Pictures, target: Pictures) -> dict[str, Any]:
    """Wasserstein distance per channel to the target, before and after translation, in grey levels (0-255)."""
    counts = [channel_histograms(sampled_images(dataset)) for dataset in (source, translated, target)]
    before, after = wasserstein(counts[0], counts[2]), wasserstein(counts[1], counts[2])
    return {
        "before": _rounded(before),
        "after": _rounded(after),
        "ratio": round(float(after.sum() / max(before.sum(), 1e-9)), 4),
    }


def _cumulative(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares: NDArray[np.float64] = counts.cumsum(axis=1) / total
    return shares


def _moments(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel, (3,) each."""
    levels, total = np.arange(LEVELS), counts.sum(axis=1)
    mean = (counts * levels).sum(axis=1) / total
    return mean, np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total)


def _rounded(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    return [round(float(value), 3) for value in values]
