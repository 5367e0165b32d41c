"""Captioned panels side by side, and sheets of such strips below each other, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from acclimate.io.files import write_bytes

_GAP, _MARGIN = 6, 4
_PAPER, _INK = (255, 255, 255), (20, 20, 20)


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


def write_sheet(path: Path, strips: Sequence[Image.Image], *, gap: int = 0) -> None:
    """Writes strips below each other, ``gap`` pixels apart, as one PNG, atomically."""
    height = sum(strip.height for strip in strips) + gap * (len(strips) - 1)
    sheet = Image.new("RGB", (max(strip.width for strip in strips), height), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + gap
    content = io.BytesIO()
    sheet.save(content, format="PNG", optimize=True)
    write_bytes(path, content.getvalue())
