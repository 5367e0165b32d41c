"""The picture of ESL Figure 2: what both confidences select, and what entropy leaves out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.io.sheets import strip
from acclimate.labels import VOID

_LEFT_OUT = (0, 0, 0)


def excluded_by_entropy(softmax: NDArray[np.uint8], entropy: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pseudo-labels that softmax selects and entropy does not, (H, W) uint8; void elsewhere."""
    return np.where(entropy == VOID, softmax, np.uint8(VOID))


def selection_figure(
    *,
    softmax: NDArray[np.uint8],
    entropy: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    label: NDArray[np.uint8] | None = None,
    image: NDArray[np.uint8] | None = None,
) -> Image.Image:
    """ESL Figure 2 for one image: a strip of captioned panels, void in black.

    Args:
        softmax: (H, W) uint8 pseudo-labels selected by the maximum probability, void 255.
        entropy: (H, W) the same by entropy.
        palette: (256, 3) uint8 colours by train id, as :meth:`ClassSpace.palette` gives.
        label: (H, W) true train ids, where known.
        image: (H, W, 3) RGB to begin with, where wanted.
    """
    panels: list[tuple[str, NDArray[np.uint8]]] = []
    if image is not None:
        panels.append(("image", image))
    maps = [("softmax-selected", softmax), ("entropy-selected", entropy)]
    maps.append(("excluded by entropy", excluded_by_entropy(softmax, entropy)))
    if label is not None:
        maps.insert(0, ("label", label))
    colours = palette.copy()
    colours[VOID] = _LEFT_OUT
    panels += [(title, colours[ids]) for title, ids in maps]
    return strip(panels)
