"""How much of every image each class covers: what image-level labels are made from (MLSL eq. 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.sample import Dataset
from acclimate.io.files import hash_of, write_bytes

_VERSION = 1


def shares_of_images(
    dataset: Dataset, cache: Path | None = None, *, progress: Progress | None = None
) -> dict[str, NDArray[np.float32]]:
    """Image name -> (C,) float32 fraction of its pixels that each class covers, void counting as no class.

    Args:
        dataset: every label is read once, at native size.
        cache: folder in which results are kept by the dataset's fingerprint.
        progress: told how far the counting is; None: a bar on stderr.
    """
    count, classes = len(dataset), len(dataset.class_space)
    kept = None
    if cache is not None:
        kept = Path(cache) / f"{hash_of([_VERSION, 'class shares', dataset.fingerprint()])}-shares.safetensors"
        if kept.is_file():
            return dict(zip(dataset.names, safetensors.numpy.load_file(kept)["shares"], strict=True))

    def share(index: int) -> NDArray[np.float32]:
        label = dataset.label(index)
        return (np.bincount(label.ravel(), minlength=256)[:classes] / label.size).astype(np.float32)

    title = f"image-level labels of {dataset.spec}"
    shares = np.zeros((count, classes), dtype=np.float32)
    for index, found in enumerate(reported(in_parallel(share, count), count, title, progress)):
        shares[index] = found
    if kept is not None:
        write_bytes(kept, safetensors.numpy.save({"shares": shares}))
    return dict(zip(dataset.names, shares, strict=True))
