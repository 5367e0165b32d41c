"""What label maps mean wherever they are met: the train id that no class owns, and how a map changes its size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VOID = 255
"""The train id of a pixel that no class owns."""


def resized_label(label: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A label map (H, W) at another ``size`` (width, height), by nearest neighbour: ids are names and are never mixed.

    The same array where it has that size already.
    """
    if (label.shape[1], label.shape[0]) == size:
        return label
    return np.array(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
