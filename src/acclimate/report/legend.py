"""What colours mean, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_ROW, _SWATCH, _MARGIN, _TEXT = 26, 36, 8, 16
_ROWS = 20
"""Of one column."""


def legend(entries: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """A swatch and a name for each entry (name, RGB), in columns of 20."""
    font = ImageFont.load_default(_TEXT)
    width = _SWATCH + 3 * _MARGIN + max((round(font.getlength(name)) for name, _ in entries), default=0)
    columns, rows = -(-len(entries) // _ROWS), min(_ROWS, len(entries))
    picture = Image.new("RGB", (max(1, columns) * width + _MARGIN, rows * _ROW + 2 * _MARGIN), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    for number, (name, colour) in enumerate(entries):
        left, top = _MARGIN + number // _ROWS * width, _MARGIN + number % _ROWS * _ROW
        draw.rectangle((left, top + 3, left + _SWATCH, top + _ROW - 4), fill=colour, outline=(120, 120, 120))
        draw.text((left + _SWATCH + _MARGIN, top + _ROW // 2), name, fill=(20, 20, 20), font=font, anchor="lm")
    return picture
