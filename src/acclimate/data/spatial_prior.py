"""Where in the picture each class lies: the spatial priors of CBST-SP, counted over the source's labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.sample import Dataset
from acclimate.errors import UserError
from acclimate.io.files import hash_of
from acclimate.io.tensors import remembered, write_tensors
from acclimate.labels import resized_label

_VERSION = 1
_KEY = "acclimate-spatial-prior"
SIZE = (512, 256)
"""(width, height) the maps are counted at; they are smooth, and enlarged to the labels' size when used."""
KERNEL = 70.0
"""The published kernel of 70x70 pixels on images of 2048x1024, a Gaussian cut at two standard deviations."""
PUBLISHED_WIDTH = 2048


def spatial_prior(
    dataset: Dataset, cache: Path | None = None, *, size: tuple[int, int] = SIZE, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Frequency maps, (C, height, width) float32 in [0, 1], each class's largest value being 1.

    Counts of every class at every place, smoothed with a Gaussian (CBST section 4.2). The authors' normalisation is not
    published; with each map scaled by its own maximum, the prior says where a class lies and not how frequent it is,
    and probabilities times prior stay within [0, 1]. A class that the source lacks has 1 everywhere: nothing is known.

    Args:
        dataset: labelled; every label is read once.
        cache: folder in which the maps are kept by the dataset's fingerprint.
        size: (width, height) labels are reduced to, by nearest neighbour.
        progress: told how far the counting is; None: a bar on stderr.

    Raises:
        UserError: the set has no labels.
    """
    if not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no labels, so it gives no spatial prior")
    kept = None
    if cache is not None:
        kept = Path(cache) / f"{hash_of([_VERSION, 'spatial prior', dataset.fingerprint(), size])}-prior.safetensors"
        if (found := remembered(kept, key=_KEY)) is not None:
            return np.asarray(found["prior"].numpy())
    prior = normalised_prior(_counts(dataset, size, progress))
    if kept is not None:
        write_tensors(kept, {"prior": torch.from_numpy(prior)}, key=_KEY, card={"spec": dataset.spec})
    return prior


def normalised_prior(counts: NDArray[np.float64], *, deviation: float | None = None) -> NDArray[np.float32]:
    """Counts (C, h, w), smoothed and divided by each class's maximum.

    Args:
        counts: how often each class lies at each place.
        deviation: of the Gaussian in pixels of the maps; None: the published kernel, scaled to the maps' width.
    """
    if deviation is None:
        deviation = KERNEL / 4 * counts.shape[2] / PUBLISHED_WIDTH
    smooth = np.stack([_smoothed(each, deviation) for each in counts])
    highest = smooth.max(axis=(1, 2), keepdims=True)
    return np.where(highest > 0, smooth / np.where(highest > 0, highest, 1.0), 1.0).astype(np.float32)


def _counts(dataset: Dataset, size: tuple[int, int], progress: Progress | None) -> NDArray[np.float64]:
    classes = len(dataset.class_space)
    counts = np.zeros((classes, size[1], size[0]))
    rows, columns = np.indices((size[1], size[0]))

    def reduced(index: int) -> NDArray[np.uint8]:
        return resized_label(dataset.label(index), size)

    count = len(dataset)
    for label in reported(in_parallel(reduced, count), count, f"spatial prior of {dataset.spec}", progress):
        owned = label < classes
        counts[label[owned], rows[owned], columns[owned]] += 1
    return counts


def _smoothed(values: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """Separable Gaussian, cut at two standard deviations; weights beyond the border count for nothing."""
    reach = max(1, round(2 * deviation)) if deviation > 0 else 0
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-9)) ** 2)
    for axis in (0, 1):
        weight = np.convolve(np.ones(values.shape[axis]), kernel)[reach : reach + values.shape[axis]]

        def along(line: NDArray[np.float64], weight: NDArray[np.float64] = weight) -> NDArray[np.float64]:
            return np.convolve(line, kernel)[reach : reach + len(line)] / weight

        values = np.apply_along_axis(along, axis, values)
    return values
