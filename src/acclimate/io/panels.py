"""Captioned panels side by side, and such rows below each other, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from acclimate.io.files import write_bytes

_GAP, _MARGIN = 6, 4
_PAPER, _INK = (255, 255, 255), (20, 20, 20)


def side_by_side(panels: Sequence[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """Captioned panels (title, (H, W, 3) RGB) of one size side by side."""
    shapes = {panel.shape[:2] for _, panel in panels}
    if len(shapes) > 1:
        raise ValueError(f"the panels of a figure must have one size, got {sorted(shapes)}")
    (height, width), font = shapes.pop(), ImageFont.load_default()
    caption = round(font.getbbox("Ag")[3]) + 2 * _MARGIN
    row = Image.new("RGB", (len(panels) * (width + _GAP) - _GAP, height + caption), _PAPER)
    draw = ImageDraw.Draw(row)
    for position, (title, panel) in enumerate(panels):
        left = position * (width + _GAP)
        row.paste(Image.fromarray(panel), (left, caption))
        draw.text((left + _MARGIN, _MARGIN), title, fill=_INK, font=font)
    return row


def write_stacked(path: Path, rows: Sequence[Image.Image], *, gap: int = 0) -> None:
    """Writes pictures below each other, ``gap`` pixels apart, as one PNG, atomically."""
    height = sum(row.height for row in rows) + gap * (len(rows) - 1)
    whole = Image.new("RGB", (max(row.width for row in rows), height), _PAPER)
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height + gap
    content = io.BytesIO()
    origin = PngInfo()
    origin.add_text("Software", "acclimate")
    # The strongest compression takes four times as long and saves a seventh; one process writes while others wait.
    whole.save(content, format="PNG", compress_level=1, pnginfo=origin)
    write_bytes(path, content.getvalue())
