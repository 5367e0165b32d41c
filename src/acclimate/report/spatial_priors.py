"""The picture of spatial priors (CBST-SP): where each class lies, one map per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.io.panels import side_by_side, write_stacked
from acclimate.report.colour import entropy_colours

COLUMNS = 4
_WIDTH, _GAP = 256, 6


def write_prior_picture(path: Path, prior: NDArray[np.float32], names: Sequence[str]) -> None:
    """Writes the maps as captioned panels, dark where a class never is, bright where it is most often.

    Args:
        path: a PNG, written atomically.
        prior: (C, height, width) in [0, 1], as :func:`acclimate.data.spatial_prior.spatial_prior` gives.
        names: C class names.
    """
    height = max(1, round(_WIDTH * prior.shape[1] / prior.shape[2]))
    panels = []
    for name, values in zip(names, prior, strict=True):
        levels = np.round(255 * values.clip(0, 1)).astype(np.uint8)
        reduced = Image.fromarray(levels).resize((_WIDTH, height), Image.Resampling.BOX)
        panels.append((name, entropy_colours()[np.asarray(reduced)]))
    rows = [side_by_side(panels[first : first + COLUMNS]) for first in range(0, len(panels), COLUMNS)]
    write_stacked(path, rows, gap=_GAP)
