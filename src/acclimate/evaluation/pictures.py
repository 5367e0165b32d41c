"""Which images are pictured, how large, and how pictures are written."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as PILImage

from acclimate.io.files import atomic

PICTURE_WIDTH = 480
"""Pixels; wide enough to compare models by eye, small enough for a page with many pictures."""


def picture_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a picture for the report: never larger than the image."""
    if width <= PICTURE_WIDTH:
        return width, height
    return PICTURE_WIDTH, round(height * PICTURE_WIDTH / width)


def save_picture(path: Path, picture: PILImage.Image) -> None:
    """Writes a PNG or JPEG (by suffix) atomically."""
    with atomic(path) as temporary:
        if path.suffix == ".jpg":
            picture.convert("RGB").save(temporary, format="JPEG", quality=90)
        else:
            picture.save(temporary, format="PNG", optimize=True)
