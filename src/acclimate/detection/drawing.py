"""Boxes drawn on photographs, as in ADVENT Figure 4."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from acclimate.data.class_space import ClassSpace
from acclimate.data.sample import Image

SHOWN_SCORE = 0.5
"""Detections above this score are drawn (ADVENT Figure 4)."""


def drawn(
    image: Image,
    corners: Sequence[Sequence[float]],
    classes: Sequence[int],
    space: ClassSpace,
    *,
    scores: Sequence[float] | None = None,
) -> PILImage.Image:
    """The image with a frame per box in its class's colour, and its name and score above it.

    Args:
        image: (H, W, 3) RGB.
        corners: x0, y0, x1, y1 in pixels of the image.
        classes: places in ``space``.
        scores: one per box, or None for ground truth, which is framed without words.
    """
    picture = PILImage.fromarray(image)
    draw = ImageDraw.Draw(picture)
    line = max(1, round(picture.width / 300))
    font = ImageFont.load_default(size=max(9, round(picture.width / 60)))
    # the least certain first: the most certain lies on top
    for place in reversed(range(len(classes))):
        x0, y0, x1, y1 = corners[place]
        colour = space.colours[classes[place]]
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=line)
        if scores is None:
            continue
        text = f"{space.classes[classes[place]]} {scores[place]:.2f}"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        height, width = bottom - top + 2, right - left + 3
        at = (min(max(0, x0), max(0, picture.width - width)), y0 - height if y0 >= height else y0)
        draw.rectangle((at[0], at[1], at[0] + width, at[1] + height), fill=colour)
        light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
        draw.text((at[0] + 1 - left, at[1] + 1 - top), text, fill=(0, 0, 0) if light else (255, 255, 255), font=font)
    return picture
