"""What a scene is made of: the street's ground plan, the camera, and everything that stands on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.scenes.buildings import SLAB, Facade
from acclimate.scenes.camera import Camera
from acclimate.scenes.shapes import Colour, Material, Piece, Surface

FAR = 115.0
"""Metres to the backdrop that closes every view."""


@dataclass(frozen=True)
class Street:
    """The ground plan, in metres.

    Attributes:
        half: half the road's width.
        sidewalk: width of each sidewalk.
        curvature: 1/m; the street's middle lies at x = curvature z² / 2.
        crossing: z of the middle of a crossing road, or None.
        crossing_half: half the crossing road's width.
        end: z where the road ends at a building across (the backdrop's distance where it does not).
        lanes: lane markings per direction, 0 for none.
        zebra: whether a zebra crossing lies before the crossing road.
        grass: whether the ground beyond the sidewalks is grass.
        colours: reflectance of each ground material.
    """

    half: float
    sidewalk: float
    curvature: float = 0.0
    crossing: float | None = None
    crossing_half: float = 4.0
    end: float = FAR
    lanes: int = 1
    zebra: bool = False
    grass: bool = False
    colours: tuple[tuple[Material, Colour], ...] = (
        (Material.ASPHALT, (0.35, 0.35, 0.38)),
        (Material.MARKING, (0.95, 0.95, 0.95)),
        (Material.PAVEMENT, (0.65, 0.6, 0.58)),
        (Material.CURB, (0.75, 0.75, 0.73)),
        (Material.GRASS, (0.3, 0.5, 0.15)),
    )

    def bend(self, z: float) -> float:
        """x of the street's middle at a distance z."""
        return 0.5 * self.curvature * z * z

    def crosses(self, start: float, end: float) -> bool:
        """Whether the stretch from ``start`` to ``end`` touches the crossing road and its sidewalks."""
        reach = self.crossing_half + 1.8
        return self.crossing is not None and end > self.crossing - reach and start < self.crossing + reach


@dataclass(frozen=True)
class Scene:
    """Everything a picture shows, before anyone decides how it looks.

    Attributes:
        seed: what it was made from, together with ``index``.
        index: which scene of the seed.
        camera: where it is seen from.
        street: the ground.
        surfaces: polygons from far to near; those of one object share its number.
        things: the class of each object; object numbers start at 1.
        facades: window layouts, referred to by surfaces.
        facade_colours: per layout, colours of glass, window frames and ground floor.
        sun: azimuth (radians, 0 is ahead) and elevation (radians).
        clouds: share of the sky they cover, and where their pattern starts.
    """

    seed: int
    index: int
    camera: Camera
    street: Street
    surfaces: tuple[Surface, ...]
    things: tuple[int, ...] = ()
    facades: tuple[Facade, ...] = (Facade(),)
    facade_colours: tuple[tuple[Colour, Colour, Colour], ...] = (((0.0, 0.0, 0.0),) * 3,)
    sun: tuple[float, float] = (2.0, 0.8)
    clouds: tuple[float, float] = (0.3, 0.0)


def painting_order(pieces: Sequence[Piece], *, eye_x: float) -> tuple[Surface, ...]:
    """The surfaces of all pieces from back to front.

    Slabs of the street are painted from far to near, and within a slab what is further to the side comes first: of two
    things separated by a plane, the one on the camera's side can never be hidden by the other.
    """
    ordered = sorted(pieces, key=lambda piece: (-(piece.z // SLAB), -abs(piece.x - eye_x), -piece.z))
    return tuple(surface for piece in ordered for surface in piece.surfaces)
