"""The picture of ESL Figure 2: what both confidences select, and what entropy leaves out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from acclimate.data.class_space import VOID
from acclimate.files import write_bytes

_GAP, _MARGIN = 6, 4
_PAPER, _INK, _LEFT_OUT = (255, 255, 255), (20, 20, 20), (0, 0, 0)


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


def write_selection_figure(path: Path, figures: Sequence[Image.Image]) -> None:
    """Writes figures of several images below each other as one PNG, atomically."""
    sheet = Image.new("RGB", (max(f.width for f in figures), sum(f.height for f in figures)), _PAPER)
    top = 0
    for figure in figures:
        sheet.paste(figure, (0, top))
        top += figure.height
    content = io.BytesIO()
    sheet.save(content, format="PNG", optimize=True)
    write_bytes(path, content.getvalue())


def strip(panels: Sequence[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """Captioned panels (title, (H, W, 3) RGB) of one size side by side."""
    shapes = {panel.shape[:2] for _, panel in panels}
    if len(shapes) > 1:
        raise ValueError(f"the panels of a figure must have one size, got {sorted(shapes)}")
    (height, width), font = shapes.pop(), ImageFont.load_default()
    caption = round(font.getbbox("Ag")[3]) + 2 * _MARGIN
    strip = Image.new("RGB", (len(panels) * (width + _GAP) - _GAP, height + caption), _PAPER)
    draw = ImageDraw.Draw(strip)
    for position, (title, panel) in enumerate(panels):
        left = position * (width + _GAP)
        strip.paste(Image.fromarray(panel), (left, caption))
        draw.text((left + _MARGIN, _MARGIN), title, fill=_INK, font=font)
    return strip
