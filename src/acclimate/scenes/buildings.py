"""What lines a street: buildings, walls, fences and hedges, cut into short lengths so that they follow its bend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from acclimate.scenes.classes import BUILDING, FENCE, VEGETATION, WALL
from acclimate.scenes.furniture import leaf_colour
from acclimate.scenes.shapes import Colour, Material, Piece, Surface, colour_of, shaded

SLAB = 6.0
"""Metres along the street in one painting layer."""


class Facade(NamedTuple):
    """How the windows of a building are laid out, in metres; shares are of a window's cell."""

    period: float = 3.0
    half_width: float = 0.25
    floor: float = 3.0
    low: float = 0.3
    high: float = 0.8
    ground: float = 3.0
    phase: float = 0.0
    shop: float = 0.0
    band: float = 0.0
    top: float = 0.0


@dataclass
class Row:
    """Buildings and the like along one side of a street.

    Attributes:
        bend: x that the street's bend adds at a distance z.
        facades: the scene's table of window layouts, which grows; row 0 is no windows.
        facade_colours: per layout, the colours of glass, window frames and ground floor.
        pieces: what has been built, which grows.
    """

    bend: Callable[[float], float]
    facades: list[Facade] = field(default_factory=lambda: [Facade()])
    facade_colours: list[tuple[Colour, Colour, Colour]] = field(default_factory=lambda: [((0.0, 0.0, 0.0),) * 3])
    pieces: list[Piece] = field(default_factory=list)

    def strip(
        self,
        x: float,
        start: float,
        end: float,
        heights: tuple[float, float],
        material: Material,
        colour: Colour,
        label: int,
        *,
        pattern: int = 0,
        back: float = 0.0,
    ) -> None:
        """An upright strip along the street at ``x``; its upper edge lies ``back`` metres behind the lower one."""
        low, high = heights
        away = back if x > 0 else -back
        cut = start
        while cut < end - 0.05:
            stop = min((cut // SLAB + 1) * SLAB, end)
            near, far = x + self.bend(cut), x + self.bend(stop)
            points = [(near, low, cut), (far, low, stop), (far + away, high, stop), (near + away, high, cut)]
            self.pieces.append(Piece(cut, x, [Surface(points, material, colour, label, 0, True, pattern)]))
            cut = stop

    def end(
        self, x: float, z: float, depth: float, heights: tuple[float, float], surface: Surface, *, gable: float = 0.0
    ) -> None:
        """An upright face across the street at ``z`` from ``x`` outwards; a gable adds a triangle of that height."""
        low, high = heights
        inner, outer = x + self.bend(z), x + self.bend(z) + (depth if x > 0 else -depth)
        faces = [surface._replace(points=[(inner, low, z), (outer, low, z), (outer, high, z), (inner, high, z)])]
        if gable:
            roof = [(inner, high, z), (outer, high, z), ((inner + outer) / 2, high + gable, z)]
            faces.append(surface._replace(points=roof, pattern=0))
        # a hair further out than the strip it meets, so that the strip is painted after it
        self.pieces.append(Piece(z, x + (0.01 if x > 0 else -0.01), faces))

    def building(
        self, rng: np.random.Generator, x: float, start: float, end: float, *, storeys: int, depth: float, house: bool
    ) -> None:
        """A building whose front stands at ``x``: a block of flats, or a house with a pitched roof."""
        floor = rng.uniform(2.7, 3.6)
        ground = floor * (1.0 if house else rng.uniform(1.0, 1.4))
        height = ground + floor * (storeys - 1) + 0.5
        glass_share = rng.random()
        layout = Facade(
            period=rng.uniform(1.8, 4.0),
            half_width=rng.uniform(0.17, 0.3) if glass_share < 0.8 else 0.46,
            floor=floor,
            low=rng.uniform(0.2, 0.35) if glass_share < 0.9 else 0.08,
            high=rng.uniform(0.68, 0.85),
            ground=ground,
            phase=rng.uniform(0.0, 4.0),
            shop=float(not house and rng.random() < 0.45),
            band=float(rng.random() < 0.4),
            top=height,
        )
        hue = rng.choice((0.02, 0.06, 0.09, 0.12, 0.15, 0.55, 0.6, 0.95)) + rng.uniform(-0.02, 0.02)
        wall = colour_of(hue, rng.uniform(0.05, 0.6), rng.uniform(0.4, 0.92))
        glass = colour_of(rng.uniform(0.52, 0.62), rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.45))
        frame = colour_of(hue, 0.1, rng.uniform(0.75, 0.95)) if rng.random() < 0.6 else shaded(wall, 0.6)
        street_level = shaded(wall, rng.uniform(0.55, 1.1)) if rng.random() < 0.6 else colour_of(rng.random(), 0.4, 0.5)
        pattern = len(self.facades)
        self.facades.append(layout)
        self.facade_colours.append((glass, frame, street_level))
        rise = rng.uniform(1.6, 3.2) if house else (rng.uniform(1.5, 2.5) if rng.random() < 0.3 else 0.0)
        face = Surface([], Material.FACADE, wall, BUILDING, 0, False, pattern)
        self.end(x, start, depth, (0.0, height), face, gable=rise if house else 0.0)
        if rise:
            roof = colour_of(rng.choice((0.02, 0.04, 0.6)), rng.uniform(0.1, 0.7), rng.uniform(0.25, 0.6))
            self.strip(x, start, end, (height, height + rise), Material.ROOF, roof, BUILDING, back=depth / 2)
        self.strip(x, start, end, (0.0, height), Material.FACADE, wall, BUILDING, pattern=pattern)

    def wall(self, rng: np.random.Generator, x: float, start: float, end: float) -> None:
        """A free-standing wall of brick, stone or plaster with a coping."""
        height, kind = rng.uniform(1.2, 3.0), rng.random()
        colour = colour_of(
            rng.uniform(0.0, 0.12), rng.uniform(0.1, 0.55) if kind < 0.6 else 0.05, rng.uniform(0.35, 0.85)
        )
        face = Surface([], Material.STONE, colour, WALL)
        self.end(x, start, 0.5, (0.0, height), face)
        self.strip(x, start, end, (0.0, height), Material.STONE, colour, WALL)
        self.strip(x, start, end, (height - 0.16, height), Material.STONE, shaded(colour, 1.25), WALL)

    def fence(self, rng: np.random.Generator, x: float, start: float, end: float) -> None:
        """A fence of pales or rails."""
        height = rng.uniform(0.9, 2.0)
        if rng.random() < 0.5:
            colour = colour_of(rng.uniform(0.06, 0.1), rng.uniform(0.2, 0.6), rng.uniform(0.35, 0.75))
        else:
            colour = colour_of(rng.uniform(0.3, 0.6), rng.uniform(0.0, 0.4), rng.choice((0.15, 0.4, 0.9)))
        self.end(x, start, 0.3, (0.0, height), Surface([], Material.RAILING, colour, FENCE))
        self.strip(x, start, end, (0.0, height), Material.RAILING, colour, FENCE)
        self.strip(x, start, end, (height - 0.12, height), Material.METAL, shaded(colour, 0.85), FENCE)

    def hedge(self, rng: np.random.Generator, x: float, start: float, end: float) -> None:
        """A clipped hedge."""
        height, leaf = rng.uniform(0.8, 2.2), leaf_colour(rng)
        self.end(x, start, 1.0, (0.0, height), Surface([], Material.FOLIAGE, shaded(leaf, 0.8), VEGETATION))
        self.strip(x, start, end, (0.0, height), Material.FOLIAGE, leaf, VEGETATION)
