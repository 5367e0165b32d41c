"""Colours for classes that declare none."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

from acclimate.data.class_spaces import usual_colour

Colour = tuple[int, int, int]
_ALIKE = 40
"""Colours whose channels all differ by no more are easily confused."""


def colours_of(names: Sequence[str], own: Mapping[str, Colour]) -> list[Colour]:
    """A colour for every class: its own, else the usual one of its name, else one easily told from the others."""
    chosen = [own.get(name) or usual_colour(name) for name in names]
    chosen = [colour if colour is None or colour not in chosen[:place] else None for place, colour in enumerate(chosen)]
    taken = [colour for colour in chosen if colour is not None]
    spare = (each for each in distinct_colours(3 * len(names) + 3) if all(_far(each, other) for other in taken))
    rest = iter(distinct_colours(len(names)))
    return [colour or next(spare, None) or next(rest) for colour in chosen]


def _far(first: Colour, second: Colour) -> bool:
    return max(abs(one - other) for one, other in zip(first, second, strict=True)) > _ALIKE


def distinct_colours(count: int) -> list[Colour]:
    """Colours that are easy to tell apart, the same ones every time: hues a golden section apart."""
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hsv_to_rgb(
            index * 0.618034 % 1, 0.65 + 0.35 * (index % 2), 0.9 - 0.25 * (index % 3)
        )
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours
