"""From a scene to pixels: what is seen where, how far it is, and which object it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from acclimate.scenes.camera import Floats
from acclimate.scenes.classes import CLASSES, SKY
from acclimate.scenes.patterns import lay_ground, set_courses, set_windows
from acclimate.scenes.shapes import Material
from acclimate.scenes.street import Scene

SKY_DEPTH = 1000.0
"""The depth of sky, in metres: finite, so that exp(-beta depth) and 1 / depth need no special case."""
_NEAR = 0.25


class Box(NamedTuple):
    """The tight box of an object's visible pixels, in pixel edges: x1 and y1 are exclusive."""

    name: str
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass
class Buffers:
    """What every pixel of a view shows.

    Attributes:
        label: (H, W) class.
        instance: (H, W) object number, 0 where there is no object.
        depth: (H, W) metres along the optical axis; sky is ``SKY_DEPTH``.
        material: (H, W) what it is made of.
        albedo: (H, W, 3) its reflectance, 0-1.
        normal: (H, W, 3) unit normals in world coordinates, towards the camera.
        place: (H, W, 3) where it is in the world, in metres.
        texture: (2, H, W) coordinates along the surface, in metres.
        ray: (H, W, 3) directions in world coordinates with depth 1.
    """

    label: NDArray[np.uint8]
    instance: NDArray[np.int32]
    depth: Floats
    material: NDArray[np.uint8]
    albedo: Floats
    normal: Floats
    place: Floats
    texture: Floats
    ray: Floats

    def boxes(self, things: tuple[int, ...]) -> list[Box]:
        """One tight box per object of which a pixel is seen, in the order of object numbers."""
        rows, columns = np.nonzero(self.instance)
        numbers = self.instance[rows, columns]
        if not len(numbers):
            return []
        size = len(things) + 1
        low = np.full((2, size), np.iinfo(np.int32).max)
        high = np.full((2, size), -1)
        for axis, places in enumerate((columns, rows)):
            np.minimum.at(low[axis], numbers, places)
            np.maximum.at(high[axis], numbers, places)
        return [
            Box(CLASSES[things[i - 1]], int(low[0, i]), int(low[1, i]), int(high[0, i]) + 1, int(high[1, i]) + 1)
            for i in range(1, size)
            if high[0, i] >= 0
        ]


def view(scene: Scene, *, width: int = 256, height: int = 128) -> Buffers:
    """Projects a scene and paints it from back to front."""
    camera, axes = scene.camera, scene.camera.axes()
    rays = camera.rays(width=width, height=height)
    ray: Floats = rays @ axes
    points, starts = _corners(scene)
    seen = camera.seen_from(points)
    painted = _painted(scene, seen, starts, width=width, height=height)

    depth, normal = _depth(seen, starts, painted, rays, ray, axes, camera.height)
    place = ray * depth[..., None]
    place += camera.position()
    label, material, albedo, instance, along_z = _tables(scene, painted)
    ground = (painted == 0) & (ray[..., 1] < 0)
    lay_ground(scene.street, ground, place, label, material, albedo)
    texture = np.stack(
        [np.where(along_z, place[..., 2], place[..., 0]), np.where(ground, place[..., 2], place[..., 1])]
    )
    pattern = np.array([0, *(s.pattern for s in scene.surfaces)], dtype=np.int32)[painted]
    set_windows(scene, pattern, texture, material, albedo)
    set_courses(texture, material, albedo)
    return Buffers(
        label=label,
        instance=instance,
        depth=depth,
        material=material,
        albedo=albedo,
        normal=normal,
        place=place,
        texture=texture,
        ray=ray,
    )


def _corners(scene: Scene) -> tuple[Floats, NDArray[np.int64]]:
    """The corners of all surfaces, shape (N, 3), and where each surface's corners start and end."""
    points = np.array([p for s in scene.surfaces for p in s.points], dtype=np.float32).reshape(-1, 3)
    counts = np.array([len(s.points) for s in scene.surfaces], dtype=np.int64)
    return points, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def _clipped(polygon: Floats) -> Floats:
    """The part of a polygon (N, 3) in camera coordinates that lies before the near plane."""
    kept: list[NDArray[np.float32]] = []
    for here, after in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if here[2] >= _NEAR:
            kept.append(here)
        if (here[2] >= _NEAR) != (after[2] >= _NEAR):
            kept.append(here + (after - here) * ((_NEAR - here[2]) / (after[2] - here[2])))
    return np.array(kept, dtype=np.float32).reshape(-1, 3)


def _draw(
    scene: Scene,
    canvas: Pillow.Image,
    seen: Floats,
    starts: NDArray[np.int64],
    *,
    chosen: NDArray[np.bool_] | None = None,
) -> None:
    """Fills each polygon with its number from 1, or the chosen ones with 255."""
    if len(starts) == 1:
        return
    width, height = canvas.size
    draw = ImageDraw.Draw(canvas)
    behind = seen[:, 2] < _NEAR
    safe = np.where(behind[:, None], np.float32(1.0), seen)
    # a drawing coordinate names a pixel's centre, ours its corner
    flat = scene.camera.pixels(safe, width=width, height=height) - 0.5
    hidden = np.add.reduceat(behind.astype(np.int64), starts[:-1])
    low, high = np.minimum.reduceat(flat, starts[:-1]), np.maximum.reduceat(flat, starts[:-1])
    inside = (high > -1).all(axis=1) & (low[:, 0] < width) & (low[:, 1] < height)
    shown = np.where(hidden > 0, hidden < np.diff(starts), inside)
    if chosen is not None:
        shown &= chosen
    numbers = flat.ravel().tolist()
    partly = hidden > 0
    for i in np.flatnonzero(shown).tolist():
        first, last = int(starts[i]), int(starts[i + 1])
        corners = numbers[2 * first : 2 * last]
        if partly[i]:
            kept = _clipped(seen[first:last])
            corners = (scene.camera.pixels(kept, width=width, height=height) - 0.5).ravel().tolist()
        draw.polygon(corners, fill=i + 1 if chosen is None else 255)


def _painted(scene: Scene, seen: Floats, starts: NDArray[np.int64], *, width: int, height: int) -> NDArray[np.int32]:
    """Per pixel, 1 + the surface that is seen there, or 0 for ground and sky."""
    canvas = Pillow.new("I", (width, height), 0)
    _draw(scene, canvas, seen, starts)
    return np.array(canvas, dtype=np.int32)


_CASTING = frozenset({Material.FACADE, Material.FOLIAGE, Material.PAINT, Material.CLOTH, Material.METAL, Material.STONE,
                      Material.BARK})  # fmt: skip


def ground_shadows(scene: Scene, *, width: int = 256, height: int = 128) -> NDArray[np.bool_]:
    """Where the plane of the ground lies in the shadow of a surface, shape (H, W), whatever stands before it."""
    points, starts = _corners(scene)
    azimuth, elevation = scene.sun
    reach = points[:, 1] / np.tan(elevation)
    cast = np.stack([points[:, 0] - reach * np.sin(azimuth), 0 * reach, points[:, 2] - reach * np.cos(azimuth)], axis=1)
    canvas = Pillow.new("L", (width, height), 0)
    chosen = np.array([s.material in _CASTING for s in scene.surfaces], dtype=np.bool_)
    _draw(scene, canvas, scene.camera.seen_from(cast.astype(np.float32)), starts, chosen=chosen)
    return np.array(canvas, dtype=np.uint8) > 0


def _depth(
    seen: Floats,
    starts: NDArray[np.int64],
    painted: NDArray[np.int32],
    rays: Floats,
    ray: Floats,
    axes: Floats,
    camera_height: float,
) -> tuple[Floats, Floats]:
    """Depth and unit normals: on the plane n·P = d, a ray r of depth 1 meets it at depth d / n·r."""
    down = np.minimum(ray[..., 1], -1e-6)
    empty = np.where(ray[..., 1] < 0, np.minimum(-camera_height / down, SKY_DEPTH), SKY_DEPTH).astype(np.float32)
    up = np.array([[0.0, 1.0, 0.0]], dtype=np.float32)
    if len(starts) == 1:
        return empty, np.broadcast_to(up, ray.shape).copy()
    a, b, c = (seen[starts[:-1] + i] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    offset = (normals * a).sum(axis=1)
    normals *= -np.where(offset >= 0, 1.0, -1.0)[:, None].astype(np.float32)
    inverse = normals / np.minimum(-np.abs(offset), -1e-4)[:, None]
    nearest = np.maximum(np.minimum.reduceat(seen[:, 2], starts[:-1]), _NEAR)
    farthest = np.maximum(np.maximum.reduceat(seen[:, 2], starts[:-1]), _NEAR)
    row = np.maximum(painted - 1, 0)
    # planes seen edge-on are unreliable: a surface is never outside its own corners
    far = np.clip((inverse[row] * rays).sum(axis=2), 1 / farthest[row], 1 / nearest[row])
    solid = painted > 0
    world = np.concatenate([up, normals @ axes])
    return np.where(solid, 1 / far, empty).astype(np.float32), world[painted]


def _tables(
    scene: Scene, painted: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats, NDArray[np.int32], NDArray[np.bool_]]:
    surfaces = scene.surfaces
    label = np.array([SKY, *(s.label for s in surfaces)], dtype=np.uint8)
    material = np.array([Material.SKY, *(s.material for s in surfaces)], dtype=np.uint8)
    colour = np.array([(0.0, 0.0, 0.0), *(s.colour for s in surfaces)], dtype=np.float32)
    thing = np.array([0, *(s.thing for s in surfaces)], dtype=np.int32)
    along_z = np.array([False, *(s.along_z for s in surfaces)], dtype=np.bool_)
    return label[painted], material[painted], colour[painted], thing[painted], along_z[painted]
