"""The description of a street scene as a pure function of two integers.

A scene is a street (road, sidewalks, perhaps a bend, a crossing or an end), what lines it, and what stands and moves on
it, all of it flat polygons in metres. Nothing here knows of pixels or looks.
"""

from __future__ import annotations

import math

import numpy as np

from acclimate.scenes.buildings import SLAB, Row
from acclimate.scenes.camera import Camera
from acclimate.scenes.classes import BICYCLE, BUILDING, CAR, PERSON, RIDER, VEGETATION
from acclimate.scenes.furniture import bush, lamp_post, leaf_colour, traffic_light, traffic_sign, tree
from acclimate.scenes.people import person, rider, two_wheeler
from acclimate.scenes.shapes import Material, Piece, Surface, colour_of, shaded
from acclimate.scenes.street import FAR, Scene, Street, painting_order
from acclimate.scenes.vehicles import vehicle


def sample_scene(seed: int, index: int) -> Scene:
    """The ``index``-th scene of ``seed``; the same integers always give the same scene."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index))))
    street = _street(rng)
    lane = street.half * (0.5 if street.lanes else 0.35)
    camera = Camera(
        height=rng.uniform(1.25, 2.0),
        pitch=rng.uniform(0.0, 0.07),
        yaw=rng.uniform(-0.09, 0.09),
        focal=rng.uniform(0.6, 0.85),
        lateral=min(lane, street.half - 1.2) + rng.uniform(-0.5, 0.5),
    )
    builder = _Builder(rng, street, camera)
    builder.backdrop()
    for side in (-1.0, 1.0):
        builder.line(side)
        builder.furnish(side)
        builder.park(side)
    builder.traffic()
    builder.people()
    return Scene(
        seed=seed,
        index=index,
        camera=camera,
        street=street,
        surfaces=painting_order(builder.row.pieces, eye_x=camera.lateral),
        things=tuple(builder.things),
        facades=tuple(builder.row.facades),
        facade_colours=tuple(builder.row.facade_colours),
        sun=(rng.uniform(0.0, 2 * math.pi), rng.uniform(0.45, 1.1)),
        clouds=(rng.uniform(0.0, 0.9), rng.uniform(0.0, 200.0)),
    )


def _street(rng: np.random.Generator) -> Street:
    draw = rng.random()
    pavement = colour_of(rng.uniform(0.02, 0.12), rng.uniform(0.05, 0.25), rng.uniform(0.55, 0.75))
    return Street(
        half=rng.uniform(3.2, 4.5) if rng.random() < 0.45 else rng.uniform(4.5, 7.0),
        sidewalk=rng.uniform(2.2, 5.5),
        curvature=0.0 if rng.random() < 0.45 else rng.uniform(-0.006, 0.006),
        crossing=rng.uniform(13.0, 40.0) if draw < 0.45 else None,
        crossing_half=rng.uniform(3.0, 5.5),
        end=rng.uniform(45.0, 90.0) if rng.random() < 0.2 else FAR,
        lanes=int(rng.integers(0, 3)),
        zebra=rng.random() < 0.6,
        grass=rng.random() < 0.5,
        colours=(
            (Material.ASPHALT, colour_of(0.62, rng.uniform(0.0, 0.15), rng.uniform(0.26, 0.48))),
            (Material.MARKING, (0.95, 0.95, 0.95)),
            (Material.PAVEMENT, pavement),
            (Material.CURB, shaded(pavement, 1.2)),
            (Material.GRASS, colour_of(rng.uniform(0.2, 0.32), rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.6))),
        ),
    )


class _Builder:
    """Fills a street; everything it makes is a piece in its row."""

    def __init__(self, rng: np.random.Generator, street: Street, camera: Camera) -> None:
        self.rng, self.street, self.camera = rng, street, camera
        self.row = Row(street.bend)
        self.things: list[int] = []
        self.eye = (camera.lateral, camera.height, 0.0)
        self.edge = street.half + street.sidewalk
        self.style = ("centre", "suburb", "park", "works")[int(rng.choice(4, p=(0.34, 0.34, 0.16, 0.16)))]
        self.storeys = int(rng.integers(2, 7))

    def thing(self, label: int) -> int:
        """The number of a new object of a class."""
        self.things.append(label)
        return len(self.things)

    def place(self, x: float, z: float, surfaces: list[Surface]) -> None:
        self.row.pieces.append(Piece(z, x, surfaces))

    def bent(self, x: float, z: float) -> float:
        return x + self.street.bend(z)

    def backdrop(self) -> None:
        """Closes the view: distant roofs and trees ahead and at both sides, or a building across the road's end."""
        rng = self.rng
        ahead: list[Surface] = []
        x = -110.0
        while x < 110.0:
            wide, high = rng.uniform(6.0, 18.0), rng.uniform(4.0, 13.0)
            points = [(x, 0.0, FAR), (x + wide, 0.0, FAR), (x + wide, high, FAR), (x, high, FAR)]
            if rng.random() < 0.6:
                ahead.append(
                    Surface(
                        points, Material.ROOF, colour_of(rng.uniform(0, 0.15), 0.25, rng.uniform(0.4, 0.7)), BUILDING
                    )
                )
            else:
                ahead.append(Surface(points, Material.FOLIAGE, shaded(leaf_colour(rng), 0.8), VEGETATION))
            x += wide * 0.95
        self.place(0.0, FAR + SLAB, ahead)
        for side in (-1.0, 1.0):
            z = 6.0
            while z < FAR - 6.0:
                long, high = rng.uniform(10.0, 25.0), rng.uniform(3.0, 12.0)
                green = rng.random() < 0.5
                colour = (
                    shaded(leaf_colour(rng), 0.8)
                    if green
                    else colour_of(rng.uniform(0, 0.15), 0.25, rng.uniform(0.4, 0.7))
                )
                material, label = (Material.FOLIAGE, VEGETATION) if green else (Material.ROOF, BUILDING)
                self.row.strip(side * 45.0, z, min(z + long, FAR), (0.0, high), material, colour, label)
                z += long
        if self.street.end < FAR:
            storeys, z = self.storeys + int(rng.integers(0, 2)), self.street.end + 3.0
            for left in (-24.0, -8.0, 8.0):
                self.row.building(rng, left + 0.001, z, z + 8.0, storeys=storeys, depth=16.0, house=False)

    def line(self, side: float) -> None:
        """Lots along one side, each a building, or a wall, fence or hedge with what is behind it."""
        rng, street = self.rng, self.street
        z, last = rng.uniform(-4.0, 2.0), min(street.end, FAR - 4.0)
        while z < last:
            long = rng.uniform(7.0, 18.0)
            end = min(z + long, last)
            if street.crosses(z, end) and street.crossing is not None:
                reach = street.crossing_half + 1.8
                if z < street.crossing - reach - 3.0:
                    end = street.crossing - reach
                else:
                    z = street.crossing + reach
                    end = z + long
            corner = street.crossing is not None and abs(z - street.crossing - street.crossing_half - 1.8) < 0.1
            self._lot(side, max(z, 0.5), end, 30.0 if corner else rng.uniform(7.0, 13.0))
            z = end if rng.random() < 0.7 else end + rng.uniform(1.0, 5.0)

    def _lot(self, side: float, start: float, end: float, depth: float) -> None:
        rng, draw = self.rng, self.rng.random()
        if end - start < 1.0:
            return
        shares = {
            "centre": (0.74, 0.85, 0.95),
            "suburb": (0.25, 0.48, 0.84),
            "park": (0.12, 0.36, 0.76),
            "works": (0.35, 0.75, 0.95),
        }
        built, walled, fenced = shares[self.style]
        x, row = side * self.edge, self.row
        if draw < built:
            setback = rng.uniform(0.0, 0.6) if self.style == "centre" else rng.uniform(0.0, 5.0)
            house = self.style == "suburb" or (self.style == "park" and rng.random() < 0.5)
            storeys = int(rng.integers(1, 4)) if house else max(1, self.storeys + int(rng.integers(-1, 2)))
            row.building(rng, x + side * setback, start, end, storeys=storeys, depth=depth, house=house)
            if setback > 2.5 and rng.random() < 0.6:
                (row.fence, row.hedge, row.wall)[int(rng.integers(3))](rng, x + side * 0.3, start, end)
            return
        behind = rng.random()
        if behind < 0.45:
            back = x + side * rng.uniform(5.0, 9.0)
            row.building(
                rng, back, start + 1.0, end, storeys=int(rng.integers(1, 4)), depth=depth, house=rng.random() < 0.7
            )
        for _ in range(int(rng.integers(1, 4)) if behind > 0.3 else 0):
            tx, tz = side * (self.edge + rng.uniform(1.5, 4.5)), rng.uniform(max(start, 5.0), max(end, 5.5))
            self.place(tx, tz, tree(rng, self.bent(tx, tz), tz, tall=rng.random() < 0.2))
        make = row.wall if draw < walled else row.fence if draw < fenced else row.hedge
        if rng.random() < 0.92:
            make(rng, x + side * 0.2, start, end)

    def furnish(self, side: float) -> None:
        """Posts, lights, signs, street trees and bushes on one sidewalk."""
        rng, street = self.rng, self.street
        kerb = side * (street.half + 0.45)
        z, gap = rng.uniform(5.0, 16.0), rng.uniform(12.0, 28.0)
        while z < min(70.0, street.end):
            if not street.crosses(z, z):
                self.place(kerb, z, lamp_post(rng, self.bent(kerb, z), z, towards=-side))
            z += gap
        if rng.random() < 0.45:
            z, gap = rng.uniform(5.0, 14.0), rng.uniform(6.0, 14.0)
            tall = rng.random() < 0.2
            while z < min(75.0, street.end):
                if not street.crosses(z, z) and rng.random() < 0.85:
                    x = side * (street.half + 0.8)
                    self.place(x, z, tree(rng, self.bent(x, z), z, tall=tall))
                z += gap
        for _ in range(int(rng.poisson(1.6))):
            z = rng.uniform(5.0, 22.0)
            self.place(kerb, z, traffic_sign(rng, self.bent(kerb, z), z))
        lights = (
            [street.crossing - street.crossing_half - 2.5] if street.crossing is not None and rng.random() < 0.8 else []
        )
        lights += [rng.uniform(7.0, 22.0)] if rng.random() < 0.55 else []
        for z in lights:
            self.place(kerb, z, traffic_light(rng, self.bent(kerb, z), z, towards=-side))
        for _ in range(int(rng.poisson(0.8))):
            x, z = side * (self.edge - 0.3), rng.uniform(6.0, 30.0)
            self.place(x, z, bush(rng, self.bent(x, z), z))

    def park(self, side: float) -> None:
        """Parked cars and two-wheelers along one kerb."""
        rng, street = self.rng, self.street
        if street.half > 4.3 and rng.random() < 0.5:
            z, x = rng.uniform(5.0, 14.0), side * (street.half - 1.1)
            while z < min(65.0, street.end - 4.0):
                if not street.crosses(z - 6.0, z + 3.0) and rng.random() < 0.55:
                    heading = (0.0 if side > 0 else math.pi) + street.curvature * z + rng.uniform(-0.04, 0.04)
                    self._car(x + rng.uniform(-0.15, 0.15), z, heading, small=True)
                z += rng.uniform(5.4, 7.5)
        for _ in range(int(rng.poisson(0.9))):
            z, x = rng.uniform(4.5, 15.0), side * (street.half + rng.uniform(0.6, street.sidewalk - 0.2))
            for extra in range(int(rng.integers(1, 4))):
                place = z + 0.6 * extra
                self.place(x, place, two_wheeler(rng, self.bent(x, place), place, thing=self.thing(BICYCLE)))

    def _car(self, x: float, z: float, heading: float, *, small: bool = False) -> None:
        surfaces = vehicle(
            self.rng, self.bent(x, z), z, heading=heading, eye=self.eye, thing=self.thing(CAR), small=small
        )
        self.place(x, z, surfaces)

    def traffic(self) -> None:
        """Cars and riders that drive: ahead, oncoming, and across."""
        rng, street = self.rng, self.street
        lane = street.half * 0.4
        for side, nearest in ((1.0, 8.5), (-1.0, 6.5)):
            z = nearest + rng.exponential(18.0)
            while z < min(75.0, street.end - 5.0):
                self._car(
                    side * lane + rng.uniform(-0.3, 0.3), z, (0.0 if side > 0 else math.pi) + street.curvature * z
                )
                z += rng.uniform(8.0, 40.0)
        if street.crossing is not None and rng.random() < 0.5:
            for way in (-1.0, 1.0):
                self._car(
                    rng.uniform(-14.0, 14.0), street.crossing + way * 0.45 * street.crossing_half, way * math.pi / 2
                )
        for _ in range(int(rng.poisson(2.2))):
            crossing = rng.random() < 0.4
            z = rng.uniform(4.8, 17.0)
            side = 1.0 if rng.random() < 0.6 else -1.0
            x = rng.uniform(-1.0, 1.0) * street.half if crossing else side * (street.half * rng.uniform(0.5, 0.9))
            wheels, thing = self.thing(BICYCLE), self.thing(RIDER)
            parts = rider(rng, self.bent(x, z), z, thing=thing, wheels=wheels, crossing=crossing)
            self.place(x, z, [*parts[0], *parts[1]])

    def people(self) -> None:
        """Persons on the sidewalks, alone or in small groups, and now and then on the road."""
        rng, street = self.rng, self.street
        for _ in range(int(rng.integers(3, 10))):
            side, z = (1.0 if rng.random() < 0.5 else -1.0), 4.2 + min(rng.exponential(5.5), 30.0)
            crossing = rng.random() < 0.15
            for _ in range(int(rng.choice(3, p=(0.65, 0.25, 0.1))) + 1):
                away = rng.uniform(0.5, street.sidewalk - 0.2)
                x = rng.uniform(-1.0, 1.0) * street.half if crossing else side * (street.half + away)
                spot = min(z + rng.uniform(-0.6, 0.6), street.end)
                self.place(x, spot, person(rng, self.bent(x, spot), spot, thing=self.thing(PERSON)))
