"""What stands beside a street: poles, lamps, traffic lights and signs, trees and bushes."""

from __future__ import annotations

import math

import numpy as np

from acclimate.scenes.classes import POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION
from acclimate.scenes.shapes import (
    Board,
    Colour,
    Flat,
    Material,
    Surface,
    blob,
    box,
    colour_of,
    disc,
    limb,
    shaded,
)


def _grey(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.25:
        return colour_of(rng.uniform(0.3, 0.6), 0.4, rng.uniform(0.2, 0.4))
    return colour_of(0.6, rng.uniform(0.0, 0.12), rng.uniform(0.3, 0.65))


def lamp_post(rng: np.random.Generator, x: float, z: float, *, towards: float) -> list[Surface]:
    """A lamp post, utility pole or bollard; its arm reaches ``towards`` the road (sign of x)."""
    board, grey, draw = Board(x, z), _grey(rng), rng.random()
    if draw < 0.15:
        height = rng.uniform(0.8, 1.1)
        return [Surface(board.at(box(-0.09, 0.0, 0.09, height)), Material.METAL, grey, POLE)]
    height = rng.uniform(4.5, 8.5)
    figures = [limb((0.0, 0.0), (0.0, height), 0.26, 0.17)]
    if draw < 0.75:
        reach = towards * rng.uniform(0.8, 2.0)
        figures.append(limb((0.0, height - 0.05), (reach, height + 0.25), 0.1, 0.09))
        figures.append(
            box(min(reach, reach + towards * 0.6), height + 0.15, max(reach, reach + towards * 0.6), height + 0.33)
        )
    elif draw < 0.88:
        figures.append(disc((0.0, height + 0.15), 0.28, 10))
    else:
        figures.append(box(-1.0, height - 0.6, 1.0, height - 0.48))
    return [Surface(board.at(figure), Material.METAL, grey, POLE) for figure in figures]


def traffic_light(rng: np.random.Generator, x: float, z: float, *, towards: float) -> list[Surface]:
    """A traffic light on a post, perhaps with a second head on an arm over the road."""
    board, grey = Board(x, z, scale=1.15), _grey(rng)
    high = rng.random() < 0.5
    height = rng.uniform(4.6, 5.4) if high else rng.uniform(2.6, 3.3)
    surfaces = [Surface(board.at(limb((0.0, 0.0), (0.0, height), 0.24, 0.17)), Material.METAL, grey, POLE)]
    heads = [(0.0, rng.uniform(2.2, 2.6))]
    if high:
        reach = towards * rng.uniform(1.8, 3.5)
        surfaces.append(Surface(board.at(limb((0.0, height), (reach, height), 0.12, 0.1)), Material.METAL, grey, POLE))
        heads.append((reach, height - 0.85))
    lit = int(rng.integers(3))
    for cx, low in heads:
        surfaces += _head(board, cx, low, lit, rng.random() < 0.4)
    return surfaces


def _head(board: Board, cx: float, low: float, lit: int, backed: bool) -> list[Surface]:
    surfaces = []
    if backed:
        plate = board.at(box(cx - 0.3, low - 0.12, cx + 0.3, low + 1.12))
        surfaces.append(Surface(plate, Material.PLATE, (0.1, 0.1, 0.1), TRAFFIC_LIGHT))
    surfaces.append(
        Surface(board.at(box(cx - 0.2, low, cx + 0.2, low + 1.0)), Material.PLATE, (0.08, 0.09, 0.08), TRAFFIC_LIGHT)
    )
    for i, colour in enumerate(((0.1, 0.95, 0.4), (1.0, 0.75, 0.1), (1.0, 0.12, 0.1))):
        on = i == lit
        lens = board.at(disc((cx, low + 0.18 + 0.32 * i), 0.14, 8))
        shown = colour if on else shaded(colour, 0.25)
        surfaces.append(Surface(lens, Material.LAMP if on else Material.PLATE, shown, TRAFFIC_LIGHT))
    return surfaces


_RED, _BLUE, _WHITE, _YELLOW = (0.82, 0.08, 0.1), (0.08, 0.25, 0.7), (0.95, 0.95, 0.95), (0.97, 0.8, 0.1)


def traffic_sign(rng: np.random.Generator, x: float, z: float) -> list[Surface]:
    """A sign on a thin post: prohibition, warning, stop, priority, direction or parking."""
    board = Board(x, z, turned=rng.uniform(-0.2, 0.2))
    middle, size, kind = rng.uniform(2.2, 2.9), rng.uniform(0.38, 0.52), int(rng.integers(6))
    surfaces = [Surface(board.at(box(-0.06, 0.0, 0.06, middle)), Material.METAL, (0.5, 0.51, 0.53), POLE)]
    c: Flat = (0.0, middle)
    parts: list[tuple[list[Flat], Colour]]
    if kind == 0:
        parts = [
            (disc(c, size, 14), _RED),
            (disc(c, size * 0.7, 14), _WHITE),
            (box(-0.12, middle - 0.1, 0.12, middle + 0.1), (0.1, 0.1, 0.1)),
        ]
    elif kind == 1:
        parts = [(_triangle(c, size * 1.2), _RED), (_triangle(c, size * 0.75), _WHITE)]
    elif kind == 2:
        parts = [
            (disc(c, size * 1.05, 8), _RED),
            (box(-size * 0.65, middle - 0.07, size * 0.65, middle + 0.07), _WHITE),
        ]
    elif kind == 3:
        parts = [(disc(c, size, 4), _WHITE), (disc(c, size * 0.75, 4), _YELLOW)]
    elif kind == 4:
        parts = [
            (box(-size, middle - size, size, middle + size), _BLUE),
            (box(-size * 0.4, middle - size * 0.5, size * 0.3, middle + size * 0.6), _WHITE),
        ]
    else:
        wide, colour = rng.uniform(0.8, 1.5), (_BLUE, _YELLOW, (0.05, 0.4, 0.2))[int(rng.integers(3))]
        parts = [(box(-wide, middle - 0.4, wide, middle + 0.4), colour),
                 (box(-wide * 0.8, middle + 0.08, wide * 0.6, middle + 0.22), _WHITE),
                 (box(-wide * 0.8, middle - 0.22, wide * 0.3, middle - 0.08), _WHITE)]  # fmt: skip
    return surfaces + [Surface(board.at(figure), Material.PLATE, colour, TRAFFIC_SIGN) for figure, colour in parts]


def _triangle(centre: Flat, size: float) -> list[Flat]:
    x, y = centre
    return [(x - size * 0.87, y - size * 0.5), (x + size * 0.87, y - size * 0.5), (x, y + size)]


def leaf_colour(rng: np.random.Generator) -> Colour:
    """A green, now and then yellowish."""
    return colour_of(rng.uniform(0.22, 0.36), rng.uniform(0.5, 0.85), rng.uniform(0.3, 0.6))


def tree(rng: np.random.Generator, x: float, z: float, *, tall: bool = False) -> list[Surface]:
    """A broad-leaved tree, or a cone-shaped one when ``tall``."""
    board, leaf = Board(x, z), leaf_colour(rng)
    trunk, radius = rng.uniform(1.6, 3.0), rng.uniform(1.3, 2.6)
    lean, girth = rng.uniform(-0.3, 0.3), rng.uniform(0.18, 0.4)
    bark = colour_of(rng.uniform(0.05, 0.1), rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.4))
    surfaces = [
        Surface(board.at(limb((0.0, 0.0), (lean, trunk + radius), girth, girth * 0.6)), Material.BARK, bark, VEGETATION)
    ]
    clumps: list[tuple[Flat, float]] = []
    if tall:
        top = rng.uniform(6.0, 11.0)
        for share in np.linspace(0.0, 1.0, 7):
            clumps.append(((lean * share, trunk * 0.5 + (top - trunk * 0.5) * share), radius * 0.8 * (1.05 - share)))
    else:
        for angle, reach in zip(rng.uniform(0, 2 * math.pi, 9), np.sqrt(rng.random(9)), strict=True):
            away = radius * reach * 0.8
            place = (lean + away * math.cos(angle), trunk + radius * 0.9 + away * 0.75 * math.sin(angle))
            clumps.append((place, radius * rng.uniform(0.4, 0.62)))
        clumps.sort(key=lambda clump: clump[0][1])
    for centre, size in clumps:
        lift = 0.75 + 0.4 * (centre[1] - trunk) / (2.2 * radius + 0.1) if not tall else rng.uniform(0.75, 1.1)
        surfaces.append(Surface(board.at(blob(rng, centre, size)), Material.FOLIAGE, shaded(leaf, lift), VEGETATION))
    return surfaces


def bush(rng: np.random.Generator, x: float, z: float) -> list[Surface]:
    """A low clump of leaves."""
    board, leaf, size = Board(x, z), leaf_colour(rng), rng.uniform(0.4, 0.9)
    surfaces = []
    for side in (-0.6, 0.6, 0.0):
        figure = [(a, max(b, 0.0)) for a, b in blob(rng, (side * size, size * rng.uniform(0.5, 0.9)), size)]
        surfaces.append(Surface(board.at(figure), Material.FOLIAGE, shaded(leaf, rng.uniform(0.75, 1.05)), VEGETATION))
    return surfaces
