"""Cars, vans, trucks and buses: side profiles made solid, with windows, wheels and lights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from acclimate.scenes.classes import CAR
from acclimate.scenes.shapes import Colour, Flat, Material, Point, Surface, colour_of, disc, shaded


@dataclass(frozen=True)
class _Kind:
    """A vehicle seen from its left side: rear at 0, front at 1 along its length; heights in metres."""

    length: float
    width: float
    belt: float
    roof: float
    cabin: tuple[float, float, float, float]  # rear belt, rear roof, front roof, front belt
    bonnet: float
    wheel: float = 0.33


_KINDS = {
    "saloon": _Kind(4.6, 1.8, 0.92, 1.44, (0.1, 0.24, 0.6, 0.76), 0.78),
    "hatchback": _Kind(4.0, 1.75, 0.95, 1.5, (0.0, 0.08, 0.58, 0.76), 0.8),
    "estate": _Kind(4.7, 1.8, 0.95, 1.5, (0.0, 0.05, 0.6, 0.75), 0.8),
    "off-roader": _Kind(4.6, 1.95, 1.08, 1.78, (0.0, 0.03, 0.62, 0.74), 0.98, 0.39),
    "van": _Kind(5.2, 2.0, 1.15, 2.25, (0.0, 0.01, 0.75, 0.9), 1.0, 0.36),
    "truck": _Kind(7.5, 2.4, 1.3, 3.1, (0.0, 0.0, 0.96, 1.0), 1.25, 0.48),
    "bus": _Kind(10.5, 2.5, 1.25, 3.0, (0.0, 0.0, 0.98, 1.0), 1.2, 0.48),
}
_COMMON = ("saloon", "hatchback", "estate", "off-roader", "van", "truck", "bus")
_SHARES = (0.28, 0.27, 0.13, 0.15, 0.1, 0.04, 0.03)


def _paint(rng: np.random.Generator, name: str) -> Colour:
    if rng.random() < (0.55 if name != "bus" else 0.1):
        return colour_of(
            0.6, rng.uniform(0.0, 0.08), rng.choice((0.12, 0.3, 0.55, 0.75, 0.92)) + rng.uniform(-0.05, 0.05)
        )
    return colour_of(
        rng.choice((0.0, 0.02, 0.1, 0.33, 0.58, 0.62)) + rng.uniform(-0.02, 0.02), 0.85, rng.uniform(0.35, 0.85)
    )


class _Solid:
    """A vehicle placed in the world, of which only the faces turned to the eye are made."""

    def __init__(self, x: float, z: float, heading: float, length: float, eye: Point, thing: int) -> None:
        self.x, self.z, self.length, self.eye, self.thing = x, z, length, eye, thing
        self.forward = (math.sin(heading), math.cos(heading))
        self.surfaces: list[Surface] = []

    def point(self, along: float, y: float, side: float) -> Point:
        """``along`` from rear 0 to front 1, ``side`` in metres to the right of the middle."""
        (fx, fz), s = self.forward, (along - 0.5) * self.length
        return (self.x + s * fx + side * fz, y, self.z + s * fz - side * fx)

    def right_is_seen(self, half: float) -> bool | None:
        """True or False for the flank seen, None when the eye is between both."""
        across = (self.eye[0] - self.x) * self.forward[1] - (self.eye[2] - self.z) * self.forward[0]
        return None if abs(across) < half else across > 0

    def rear_is_seen(self) -> bool:
        """Whether the rear is turned to the eye rather than the front."""
        return (self.eye[0] - self.x) * self.forward[0] + (self.eye[2] - self.z) * self.forward[1] < 0

    def flank(self, figure: list[Flat], side: float, material: Material, colour: Colour) -> None:
        """A polygon on a plane at ``side``."""
        self.surfaces.append(Surface([self.point(a, y, side) for a, y in figure], material, colour, CAR, self.thing))

    def across(
        self,
        low: Flat,
        high: Flat,
        half: float,
        material: Material,
        colour: Colour,
        left: float = -1.0,
        right: float = 1.0,
    ) -> None:
        """A strip across the vehicle from profile point ``low`` to ``high``."""
        points = [self.point(*low, left * half), self.point(*low, right * half),
                  self.point(*high, right * half), self.point(*high, left * half)]  # fmt: skip
        self.surfaces.append(Surface(points, material, colour, CAR, self.thing))


def _between(low: Flat, high: Flat, share: float) -> Flat:
    return (low[0] + (high[0] - low[0]) * share, low[1] + (high[1] - low[1]) * share)


def vehicle(
    rng: np.random.Generator, x: float, z: float, *, heading: float, eye: Point, thing: int, small: bool = False
) -> list[Surface]:
    """A vehicle with its middle at (x, z).

    Args:
        rng: where its kind and paint come from.
        x: place across the street.
        z: place along the street.
        heading: radians; 0 drives away along the street, pi towards the camera, pi/2 to the right.
        eye: the camera's place; faces turned away from it are left out.
        thing: object number.
        small: no trucks or buses.
    """
    name = str(rng.choice(_COMMON, p=_SHARES))
    kind = _KINDS["estate" if small and name in ("truck", "bus") else name]
    paint, half = _paint(rng, name), kind.width / 2
    solid = _Solid(x, z, heading, kind.length, eye, thing)
    glass, dark = (0.16, 0.2, 0.24), (0.12, 0.12, 0.13)
    right, rear = solid.right_is_seen(half), solid.rear_is_seen()
    boxy = name in ("truck", "bus")
    bottom, belt, roof, cabin = 0.28, kind.belt, kind.roof, kind.cabin
    inward = half * (1.0 if boxy else 0.86)
    # lower body
    solid.across((0.02, 0.05), (0.98, 0.05), half * 0.95, Material.RUBBER, (0.03, 0.03, 0.03))
    end = 0.0 if rear else 1.0
    top = belt if rear else kind.bonnet
    solid.across((end, bottom), (end, top), half, Material.PAINT, shaded(paint, 0.85))
    if not boxy:
        solid.across((cabin[3], belt), (1.0, kind.bonnet), half, Material.PAINT, shaded(paint, 1.1))
        solid.across((0.0, belt), (cabin[0], belt), half, Material.PAINT, shaded(paint, 1.1))
    if right is not None:
        side = half if right else -half
        body = [(0.0, bottom), (0.0, belt), (cabin[3], belt), (1.0, kind.bonnet), (1.0, bottom)]
        solid.flank(body, side, Material.PAINT, paint)
    # shoulders, then the cabin on top of them
    solid.across((cabin[0], belt), (cabin[3], belt), half, Material.PAINT, shaded(paint, 1.1))
    solid.across((cabin[1], roof), (cabin[2], roof), inward, Material.PAINT, shaded(paint, 1.15))
    low, high = ((cabin[0], belt), (cabin[1], roof)) if rear else ((cabin[3], belt), (cabin[2], roof))
    solid.across(low, high, inward, Material.PAINT, shaded(paint, 0.9))
    if not (name == "truck" and rear):
        reach = 0.75 if name == "bus" else 0.86
        solid.across(_between(low, high, 0.1), _between(low, high, reach), inward * 0.88, Material.GLASS, glass)
    if right is not None:
        side = inward if right else -inward
        solid.flank(
            [(cabin[0], belt), (cabin[1], roof), (cabin[2], roof), (cabin[3], belt)], side, Material.PAINT, paint
        )
        for figure in _side_windows(name, cabin, belt, roof):
            solid.flank(figure, side, Material.GLASS, glass)
        _wheels(solid, kind, half if right else -half)
    if z < 45.0:
        _ends(solid, end, top, half, rear, dark)
    return solid.surfaces


def _side_windows(name: str, cabin: tuple[float, float, float, float], belt: float, roof: float) -> list[list[Flat]]:
    low, high = belt + 0.04, roof - 0.12
    if name == "truck":
        return [[(0.84, low + 0.3), (0.84, high - 0.5), (0.95, high - 0.5), (0.97, low + 0.3)]]
    if name == "bus":
        return [
            [(a, low), (a, high - 0.3), (a + 0.12, high - 0.3), (a + 0.12, low)] for a in np.arange(0.03, 0.85, 0.135)
        ]
    rear, front = cabin[0] + 0.03, cabin[3] - 0.03
    middle = (cabin[1] + cabin[2]) / 2
    windows = [[(middle + 0.01, low), (middle + 0.01, high), (cabin[2], high), (front, low)]]
    if name != "van":
        windows.append([(rear, low), (max(cabin[1], rear), high), (middle - 0.01, high), (middle - 0.01, low)])
    return windows


def _wheels(solid: _Solid, kind: _Kind, side: float) -> None:
    for along in (0.18, 0.8):
        for radius, material, colour in ((kind.wheel, Material.RUBBER, (0.06, 0.06, 0.07)),
                                         (kind.wheel * 0.58, Material.METAL, (0.6, 0.6, 0.62))):  # fmt: skip
            rim = [(along + a / kind.length, y) for a, y in disc((0.0, kind.wheel), radius, 12)]
            solid.flank(rim, side * 1.01, material, colour)


def _ends(solid: _Solid, end: float, top: float, half: float, rear: bool, dark: Colour) -> None:
    """Lights, bumper and number plate of the end that is seen."""
    solid.across((end, 0.26), (end, 0.42), half, Material.RUBBER, dark)
    colour = (0.75, 0.06, 0.05) if rear else (0.95, 0.93, 0.82)
    for left, right in ((-0.97, -0.68), (0.68, 0.97)):
        solid.across((end, top - 0.3), (end, top - 0.1), half, Material.LAMP, colour, left, right)
    solid.across((end, 0.45), (end, 0.57), half, Material.PLATE, (0.92, 0.92, 0.85), -0.28, 0.28)
    if not rear:
        solid.across((end, top - 0.28), (end, top - 0.14), half, Material.RUBBER, dark, -0.6, 0.6)
    for side in (-0.72, 0.72):
        solid.across((end, 0.0), (end, 0.27), half, Material.RUBBER, (0.05, 0.05, 0.05), side - 0.12, side + 0.12)
