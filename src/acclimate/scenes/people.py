"""Persons, two-wheelers and those who ride them: flat figures on upright boards."""

from __future__ import annotations

import numpy as np

from acclimate.scenes.classes import BICYCLE, PERSON, RIDER
from acclimate.scenes.shapes import (
    Board,
    Colour,
    Flat,
    Material,
    Surface,
    box,
    colour_of,
    disc,
    limb,
    shaded,
)

Figure = list[tuple[list[Flat], Material, Colour]]
"""The parts of a flat figure in painting order."""


def _surfaces(board: Board, figure: Figure, label: int, thing: int) -> list[Surface]:
    return [Surface(board.at(flat), material, colour, label, thing) for flat, material, colour in figure]


def _skin(rng: np.random.Generator) -> Colour:
    return colour_of(rng.uniform(0.04, 0.08), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.92))


def _hair(rng: np.random.Generator) -> Colour:
    return colour_of(rng.uniform(0.03, 0.12), rng.uniform(0.1, 0.6), rng.uniform(0.08, 0.6))


def _cloth(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.4:
        return colour_of(rng.random(), 0.1, rng.uniform(0.1, 0.9))
    return colour_of(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.9))


def _head(centre: Flat, radius: float, skin: Colour, hair: Colour) -> Figure:
    x, y = centre
    cap = [(x - radius * 1.05, y), *[(x + radius * 1.08 * c, y + radius * 1.1 * s) for c, s in _ARC]]
    return [(disc(centre, radius, 10, squash=0.85), Material.SKIN, skin), (cap, Material.CLOTH, hair)]


_ARC = [(1.0, 0.1), (0.75, 0.7), (0.3, 1.0), (-0.3, 1.0), (-0.75, 0.7), (-1.0, 0.1)]


def person(rng: np.random.Generator, x: float, z: float, *, thing: int) -> list[Surface]:
    """A person standing or walking at (x, z)."""
    height = rng.uniform(1.55, 1.92) if rng.random() < 0.85 else rng.uniform(1.05, 1.4)
    board = Board(x, z, turned=rng.uniform(-0.6, 0.6), scale=height)
    stride, swing, wide = rng.uniform(-0.13, 0.13), rng.uniform(-0.1, 0.1), rng.uniform(0.85, 1.25)
    trousers, top = _cloth(rng), _cloth(rng)
    hem = 0.46 if rng.random() < 0.6 else rng.uniform(0.26, 0.4)
    figure: Figure = []
    for side in (-1.0, 1.0):
        foot = side * (0.035 + stride)
        figure.append((limb((side * 0.04, 0.5), (foot, 0.03), 0.09 * wide, 0.055), Material.CLOTH, trousers))
        figure.append((box(foot - 0.035, 0.0, foot + 0.045, 0.035), Material.RUBBER, (0.1, 0.09, 0.09)))
        trousers = shaded(trousers, 0.8)
    sleeve = shaded(top, 0.82)
    skin = _skin(rng)
    for side in (-1.0, 1.0):
        hand = (side * 0.15 * wide + side * swing, 0.45 + abs(swing) * 0.5)
        figure.append((limb((side * 0.115 * wide, 0.81), hand, 0.06, 0.045), Material.CLOTH, sleeve))
        figure.append((disc(hand, 0.022, 6), Material.SKIN, skin))
    torso = [
        (-0.1, hem),
        (0.1, hem),
        (0.095, 0.6),
        (0.13, 0.8),
        (0.06, 0.85),
        (-0.06, 0.85),
        (-0.13, 0.8),
        (-0.095, 0.6),
    ]
    figure.append(([(a * wide, b) for a, b in torso], Material.CLOTH, top))
    if rng.random() < 0.3:
        figure.append((box(-0.08 * wide, 0.55, 0.08 * wide, 0.8), Material.CLOTH, _cloth(rng)))
    figure.append((box(-0.025, 0.83, 0.025, 0.88), Material.SKIN, skin))
    figure += _head((0.0, 0.925), 0.068, skin, _hair(rng))
    return _surfaces(board, figure, PERSON, thing)


def _bicycle_figure(rng: np.random.Generator, motor: bool) -> Figure:
    paint = colour_of(rng.random(), rng.uniform(0.3, 0.95), rng.uniform(0.3, 0.9))
    tyre, spokes = (0.08, 0.08, 0.09), (0.42, 0.43, 0.45)
    figure: Figure = []
    for side in (-0.53, 0.53):
        figure.append((disc((side, 0.34), 0.34, 14), Material.RUBBER, tyre))
        inner = 0.2 if motor else 0.28
        figure.append((disc((side, 0.34), inner, 12), Material.METAL, spokes))
    if motor:
        body = [(-0.75, 0.55), (-0.1, 0.4), (0.35, 0.45), (0.5, 0.85), (0.3, 0.95), (0.0, 0.75), (-0.7, 0.8)]
        figure.append((body, Material.PAINT, paint))
        figure.append((limb((0.53, 0.34), (0.38, 1.0), 0.1, 0.08), Material.METAL, (0.3, 0.3, 0.32)))
        figure.append((box(-0.6, 0.76, 0.0, 0.86), Material.RUBBER, (0.1, 0.1, 0.1)))
        return figure
    for start, end in _FRAME:
        figure.append((limb(start, end, 0.07, 0.07), Material.PAINT, paint))
    figure.append((limb((0.53, 0.34), (0.4, 1.0), 0.06, 0.05), Material.METAL, (0.3, 0.3, 0.32)))
    figure.append((limb((0.3, 1.02), (0.5, 1.0), 0.06, 0.06), Material.METAL, (0.2, 0.2, 0.2)))
    figure.append((box(-0.34, 0.92, -0.08, 0.99), Material.RUBBER, (0.1, 0.1, 0.1)))
    return figure


_FRAME = [((-0.53, 0.34), (-0.05, 0.36)), ((-0.05, 0.36), (-0.2, 0.94)), ((-0.05, 0.36), (0.4, 0.85)),
          ((-0.18, 0.82), (0.42, 0.86)), ((-0.53, 0.34), (-0.18, 0.8))]  # fmt: skip


def two_wheeler(
    rng: np.random.Generator, x: float, z: float, *, thing: int, turned: float | None = None
) -> list[Surface]:
    """A parked bicycle or motorcycle at (x, z), seen more or less from the side."""
    board = Board(x, z, turned=rng.uniform(-0.7, 0.7) if turned is None else turned, scale=rng.uniform(0.95, 1.1))
    return _surfaces(board, _bicycle_figure(rng, rng.random() < 0.25), BICYCLE, thing)


def rider(
    rng: np.random.Generator, x: float, z: float, *, thing: int, wheels: int, crossing: bool
) -> tuple[list[Surface], list[Surface]]:
    """A rider (object ``thing``) on a two-wheeler (object ``wheels``): the two-wheeler's surfaces and the rider's.

    Args:
        rng: where its looks come from.
        x: place across the street.
        z: place along the street.
        thing: object number of the rider.
        wheels: object number of the two-wheeler.
        crossing: rides across the street (seen from the side) instead of along it (seen from behind or in front).
    """
    motor = rng.random() < 0.3
    skin, top, trousers = _skin(rng), _cloth(rng), _cloth(rng)
    cap = _cloth(rng) if rng.random() < 0.7 else _hair(rng)
    if crossing:
        board = Board(x, z, turned=rng.uniform(-0.4, 0.4) + (np.pi if rng.random() < 0.5 else 0.0), scale=1.05)
        figure: Figure = [
            (limb((-0.16, 1.0), (0.16, 0.72), 0.17, 0.13), Material.CLOTH, trousers),
            (limb((0.16, 0.72), (0.0, 0.22), 0.13, 0.09), Material.CLOTH, shaded(trousers, 0.85)),
            (box(-0.06, 0.14, 0.16, 0.22), Material.RUBBER, (0.1, 0.1, 0.1)),
            (limb((-0.18, 0.95), (0.12, 1.48), 0.28, 0.3), Material.CLOTH, top),
            (limb((0.12, 1.42), (0.42, 1.04), 0.12, 0.08), Material.CLOTH, shaded(top, 0.8)),
            *_head((0.22, 1.63), 0.125, skin, cap),
        ]
        return _surfaces(board, _bicycle_figure(rng, motor), BICYCLE, wheels), _surfaces(board, figure, RIDER, thing)
    board = Board(x, z, turned=rng.uniform(-0.3, 0.3), scale=1.05)
    wide = 0.16 if motor else 0.07
    frame = colour_of(rng.random(), 0.6, rng.uniform(0.2, 0.8))
    cycle: Figure = [
        (box(-wide / 2, 0.0, wide / 2, 0.68), Material.RUBBER, (0.08, 0.08, 0.09)),
        (box(-wide, 0.6, wide, 0.95), Material.PAINT, frame),
        (limb((-0.3, 1.02), (0.3, 1.02), 0.06, 0.06), Material.METAL, (0.2, 0.2, 0.22)),
    ]
    figure = []
    for side, knee in ((-1.0, 0.25), (1.0, 0.42)):
        figure.append((limb((side * 0.1, 0.95), (side * 0.16, knee), 0.16, 0.1), Material.CLOTH, trousers))
        figure.append(
            (box(side * 0.16 - 0.05, knee - 0.12, side * 0.16 + 0.05, knee), Material.RUBBER, (0.1, 0.1, 0.1))
        )
        figure.append((limb((side * 0.2, 1.42), (side * 0.3, 1.03), 0.11, 0.08), Material.CLOTH, shaded(top, 0.8)))
    torso = [(-0.17, 0.88), (0.17, 0.88), (0.22, 1.4), (0.1, 1.5), (-0.1, 1.5), (-0.22, 1.4)]
    figure += [(torso, Material.CLOTH, top), *_head((0.0, 1.63), 0.125, skin, cap)]
    return _surfaces(board, cycle, BICYCLE, wheels), _surfaces(board, figure, RIDER, thing)
