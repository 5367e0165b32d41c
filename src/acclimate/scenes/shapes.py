"""What everything in a scene is made of: coloured polygons in space, and a few ways of making them."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

Point = tuple[float, float, float]
"""x, y, z in metres."""
Flat = tuple[float, float]
"""A point of a flat figure: sideways and up, in metres."""
Colour = tuple[float, float, float]
"""RGB reflectance, 0-1."""


class Material(IntEnum):
    """What a polygon is made of: looks decide how each material appears."""

    SKY = 0
    ASPHALT = 1
    MARKING = 2
    PAVEMENT = 3
    CURB = 4
    GRASS = 5
    FACADE = 6
    GLASS = 7
    ROOF = 8
    STONE = 9
    RAILING = 10
    METAL = 11
    BARK = 12
    FOLIAGE = 13
    LAMP = 14
    PLATE = 15
    SKIN = 16
    CLOTH = 17
    PAINT = 18
    RUBBER = 19


class Surface(NamedTuple):
    """A flat polygon in space.

    Attributes:
        points: its corners in order.
        material: what it is made of.
        colour: its reflectance.
        label: the class of its pixels.
        thing: the object it belongs to (from 1), or 0.
        along_z: whether its texture runs along z (walls beside the street) or x (everything else).
        pattern: the row of its windows in the scene's table, or 0.
    """

    points: Sequence[Point]
    material: Material
    colour: Colour
    label: int
    thing: int = 0
    along_z: bool = False
    pattern: int = 0


class Piece(NamedTuple):
    """Surfaces that stand at one place, in the order in which they are painted.

    Attributes:
        z: distance along the street.
        x: place across the street, before the street is bent.
        surfaces: painted one over the other.
    """

    z: float
    x: float
    surfaces: list[Surface]


def colour_of(hue: float, saturation: float, value: float) -> Colour:
    """RGB of a hue (in turns), saturation and value, the latter two clipped to 0-1."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def shaded(colour: Colour, factor: float) -> Colour:
    """The colour made darker or lighter by a factor."""
    return (min(colour[0] * factor, 1.0), min(colour[1] * factor, 1.0), min(colour[2] * factor, 1.0))


class Board:
    """An upright plane on which a flat figure is drawn: ``at(figure)`` puts its points into the world."""

    def __init__(self, x: float, z: float, *, turned: float = 0.0, scale: float = 1.0, base: float = 0.0) -> None:
        self.x, self.z, self.base, self.scale = x, z, base, scale
        self.along = (math.cos(turned) * scale, math.sin(turned) * scale)

    def at(self, figure: Iterable[Flat]) -> list[Point]:
        """The figure's points in the world."""
        (dx, dz), x, z, base, scale = self.along, self.x, self.z, self.base, self.scale
        return [(x + s * dx, base + y * scale, z + s * dz) for s, y in figure]


_TURNS = {n: [(math.cos(2 * math.pi * i / n), math.sin(2 * math.pi * i / n)) for i in range(n)] for n in range(3, 25)}


def disc(centre: Flat, radius: float, corners: int = 10, *, squash: float = 1.0) -> list[Flat]:
    """A regular polygon round a centre; ``squash`` scales it sideways."""
    return [(centre[0] + radius * squash * c, centre[1] + radius * s) for c, s in _TURNS[corners]]


def blob(rng: np.random.Generator, centre: Flat, radius: float, corners: int = 10) -> list[Flat]:
    """An irregular disc: a clump of leaves."""
    reach = rng.uniform(0.75, 1.15, corners).tolist()
    return [
        (centre[0] + radius * r * c, centre[1] + radius * r * s)
        for r, (c, s) in zip(reach, _TURNS[corners], strict=True)
    ]


def limb(start: Flat, end: Flat, start_width: float, end_width: float) -> list[Flat]:
    """A tapering bar from one point to another."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    nx, ny = -dy / length / 2, dx / length / 2
    return [
        (start[0] + nx * start_width, start[1] + ny * start_width),
        (end[0] + nx * end_width, end[1] + ny * end_width),
        (end[0] - nx * end_width, end[1] - ny * end_width),
        (start[0] - nx * start_width, start[1] - ny * start_width),
    ]


def box(left: float, bottom: float, right: float, top: float) -> list[Flat]:
    """An upright rectangle."""
    return [(left, bottom), (right, bottom), (right, top), (left, top)]
