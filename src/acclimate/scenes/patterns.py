"""What is decided pixel by pixel: the ground plan, windows, and the courses of fences and walls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acclimate.scenes.camera import Floats
from acclimate.scenes.classes import ROAD, SIDEWALK, VEGETATION
from acclimate.scenes.shapes import Material
from acclimate.scenes.street import FAR, Scene, Street


def lay_ground(
    street: Street,
    ground: NDArray[np.bool_],
    place: Floats,
    label: NDArray[np.uint8],
    material: NDArray[np.uint8],
    albedo: Floats,
) -> None:
    """Road, sidewalks, markings and grass, decided for each ground pixel by where it is."""
    x, z = place[..., 0][ground], place[..., 2][ground]
    x = x - 0.5 * street.curvature * z * z
    aside = np.abs(x)
    road = (aside < street.half) & (z < street.end)
    beyond = Material.GRASS if street.grass else Material.PAVEMENT
    kind = np.where(aside < street.half + street.sidewalk, Material.PAVEMENT, beyond).astype(np.uint8)
    kind[z > FAR] = Material.PAVEMENT
    kind[road] = Material.ASPHALT
    kerb = np.abs(aside - street.half - 0.08) < 0.1
    kind[kerb & (z < street.end)] = Material.CURB
    line = np.zeros_like(road)
    if street.lanes:
        line |= (aside < 0.09) & (np.mod(z, 6.0) < 3.5)
    if street.lanes > 1:
        line |= (np.abs(aside - street.half * 0.5) < 0.08) & (np.mod(z, 5.0) < 2.0)
        line |= np.abs(aside - street.half + 0.35) < 0.07
    if street.crossing is not None:
        away = np.abs(z - street.crossing)
        across = away < street.crossing_half
        kind[(away < street.crossing_half + 1.8) & (aside >= street.half)] = Material.PAVEMENT
        kind[across] = Material.ASPHALT
        line &= away > street.crossing_half + 1.0
        before = street.crossing - street.crossing_half - z
        if street.zebra:
            line |= (before > 0.8) & (before < 3.8) & (np.mod(x, 1.1) < 0.55)
        line |= (before > 4.6) & (before < 5.1) & (x > 0)
    kind[line & (kind == Material.ASPHALT)] = Material.MARKING
    classes = np.full(len(Material), SIDEWALK, dtype=np.uint8)
    classes[[Material.ASPHALT, Material.MARKING]] = ROAD
    classes[Material.GRASS] = VEGETATION
    colours = np.zeros((len(Material), 3), dtype=np.float32)
    for name, colour in street.colours:
        colours[name] = colour
    label[ground], material[ground], albedo[ground] = classes[kind], kind, colours[kind]


def set_windows(
    scene: Scene, pattern: NDArray[np.int32], texture: Floats, material: NDArray[np.uint8], albedo: Floats
) -> None:
    """Windows, doors, shop fronts and string courses on every facade pixel."""
    where = pattern > 0
    rows = pattern[where]
    u, y = texture[0][where], texture[1][where]
    layout = np.array(scene.facades, dtype=np.float32)[rows].T
    period, half_width, floor, low, high, ground, phase, shop, band, top = layout
    colours = np.array(scene.facade_colours, dtype=np.float32)[rows]
    cell = (u + phase) / period
    column = np.floor(cell)
    aside = np.abs(cell - column - 0.5)
    storey = np.floor((y - ground) / floor)
    rise = (y - ground) / floor - storey
    upper = (y > ground) & (y < top - 0.3)
    street_level = y <= ground
    frame = upper & (aside < half_width + 0.04) & (rise > low - 0.04) & (rise < high + 0.04)
    glass = upper & (aside < half_width) & (rise > low) & (rise < high)
    shopping = street_level & (shop > 0)
    glass |= shopping & (aside < 0.42) & (y > 0.5) & (y < ground - 0.8)
    door = street_level & (shop == 0) & (np.mod(column, 3) == 0)
    glass |= street_level & (shop == 0) & ~door & (aside < half_width) & (y > 0.9) & (y < 2.3)
    door &= (aside * period < 0.55) & (y < 2.15)
    paint = albedo[where]
    paint[shopping | (street_level & (band > 0))] = colours[:, 2][shopping | (street_level & (band > 0))]
    paint[(band > 0) & (y > ground) & (rise < 0.07)] *= 1.15
    paint[frame] = colours[:, 1][frame]
    paint[door] = colours[:, 2][door] * 0.5
    # every window reflects something else
    shine = 0.7 + 0.7 * np.mod(np.sin(column * 12.9898 + storey * 78.233 + rows) * 43758.547, 1.0)
    paint[glass] = (colours[:, 0] * shine[:, None])[glass]
    albedo[where] = np.minimum(paint, 1.0)
    made = material[where]
    made[glass] = Material.GLASS
    material[where] = made


def set_courses(texture: Floats, material: NDArray[np.uint8], albedo: Floats) -> None:
    """The pales of fences and the stones of walls."""
    fence, wall = material == Material.RAILING, material == Material.STONE
    gap = np.mod(texture[0][fence], 0.36) > 0.2
    albedo[fence] *= np.where(gap, 0.45, 1.0).astype(np.float32)[:, None]
    u, y = texture[0][wall], texture[1][wall]
    course = np.floor(y / 0.4)
    joint = (np.mod(y, 0.4) < 0.05) | (np.mod(u + 0.45 * np.mod(course, 2), 0.9) < 0.06)
    albedo[wall] *= np.where(joint, 0.72, 1.0).astype(np.float32)[:, None]
