"""One world, several looks: clean renders, and photographs by day, at dusk, in fog and in rain.

``render`` is flat and saturated. The other four pass through the same photograph (other tones per material, textures,
sunlight and shadows) and differ in light and weather; all end in a sensor with blur, noise and compression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import unknown
from acclimate.scenes.appearance import photographed
from acclimate.scenes.camera import Floats, Image
from acclimate.scenes.render import Box, Buffers, ground_shadows, view
from acclimate.scenes.sensor import exposed
from acclimate.scenes.shapes import Material
from acclimate.scenes.street import Scene
from acclimate.scenes.textures import TEXTURES, looked_up

FOG_BETA = (0.01, 0.03)
"""Range of the attenuation coefficient of the ``fog`` look in 1/m: one is drawn per image."""


@dataclass
class Rendering:
    """A scene in one look.

    Attributes:
        image: (H, W, 3) RGB.
        label: (H, W) class, a place in ``CLASSES``.
        depth: (H, W) float32 metres along the optical axis; sky is ``SKY_DEPTH``.
        instances: (H, W) int32 object numbers from 1; 0 where there is no object.
        boxes: one tight box per visible object.
    """

    image: Image
    label: NDArray[np.uint8]
    depth: Floats
    instances: NDArray[np.int32]
    boxes: list[Box]


@dataclass
class _Shot:
    """What a look works on: a view, its scene and this image's own randomness."""

    scene: Scene
    buffers: Buffers
    rng: np.random.Generator

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.buffers.label.shape
        return width, height

    @property
    def sky(self) -> NDArray[np.bool_]:
        sky: NDArray[np.bool_] = self.buffers.material == Material.SKY
        return sky

    def clouds(self) -> Floats:
        """Cloud thickness above the horizon, about -2 to 2, shape (H, W)."""
        ray = self.buffers.ray
        height = np.maximum(ray[..., 1], 0.0) + 0.12
        start = self.scene.clouds[1]
        which = np.full(height.shape, TEXTURES.index("clouds"))
        return looked_up(which, ray[..., 0] / height * 16 + start, ray[..., 2] / height * 12)


def render_scene(scene: Scene, look: str, *, size: tuple[int, int] = (256, 128)) -> Rendering:
    """A scene in one look.

    Args:
        scene: what is seen; labels, depth and boxes depend on nothing else.
        look: a name in ``LOOKS``.
        size: width and height in pixels.

    Raises:
        UserError: no look has this name.
    """
    paint = look_named(look)
    width, height = size
    buffers = view(scene, width=width, height=height)
    rng = np.random.Generator(
        np.random.Philox(np.random.SeedSequence((scene.seed, scene.index, LOOKS.index(look) + 1)))
    )
    image = paint(_Shot(scene, buffers, rng))
    return Rendering(image, buffers.label, buffers.depth, buffers.instance, buffers.boxes(scene.things))


def fogged(image: Floats, depth: Floats, *, beta: float, airlight: Floats) -> Floats:
    """Koschmieder's law: I = J t + A (1 - t) with transmission t = exp(-beta depth).

    Args:
        image: (H, W, 3) clear radiance J.
        depth: (H, W) metres.
        beta: attenuation coefficient in 1/m.
        airlight: (3,) radiance A of the fog itself.
    """
    transmission = np.exp(-beta * depth, dtype=np.float32)[..., None]
    seen: Floats = image * transmission + airlight * (1 - transmission)
    return seen


def _render(shot: _Shot) -> Image:
    buffers = shot.buffers
    light = 0.8 + 0.2 * np.abs(buffers.normal @ np.array([0.55, 0.7, -0.45], dtype=np.float32))
    grey = buffers.albedo.mean(axis=2, keepdims=True)
    colour = (grey + 1.15 * (buffers.albedo - grey)) * light[..., None]
    u, v = buffers.texture
    colour *= 1 + 0.03 * looked_up(np.zeros(u.shape, dtype=np.int32), u * 12, v * 12)[..., None]
    rise = np.clip(buffers.ray[..., 1:2] * 2.0, 0.0, 1.0)
    blue = np.array([0.66, 0.83, 0.97]) * (1 - rise) + np.array([0.3, 0.56, 0.92]) * rise
    blue = blue + (np.array([0.8, 0.84, 0.88]) - blue) * shot.rng.random() ** 1.5
    cloudy = shot.clouds() > 1.4 - shot.scene.clouds[0]
    blue[cloudy] = (0.97, 0.97, 0.98)
    colour = np.where(shot.sky[..., None], blue, colour)
    image: Image = (np.clip(colour, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    return image


def _daylight(shot: _Shot, colour: Floats, *, overcast: float) -> Floats:
    """Reflectance lit by the sun and the sky, with shadows on the ground; ``overcast`` 1 leaves no shadow."""
    buffers, (azimuth, elevation) = shot.buffers, shot.scene.sun
    width, height = shot.size
    sun = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    direct = np.maximum(buffers.normal @ sun.astype(np.float32), 0.0)
    ground = buffers.material <= Material.GRASS
    shade = ground & ground_shadows(shot.scene, width=width, height=height)
    direct = np.where(shade, 0.0, direct) * (1 - overcast)
    # what is near the ground sees less of the sky
    open_sky = np.where(ground, 1.0, 0.72 + 0.28 * np.minimum(np.maximum(buffers.place[..., 1], 0.0) / 1.5, 1.0))
    warm = np.array([1.12, 1.0, 0.82], dtype=np.float32)
    cool = np.array([0.62, 0.66, 0.7], dtype=np.float32) * (1 + 0.35 * overcast)
    lit: Floats = colour * (open_sky[..., None] * cool + direct[..., None] * warm * 0.85)
    return lit


def _day_sky(shot: _Shot, *, overcast: float) -> Floats:
    rise = np.clip(shot.buffers.ray[..., 1:2] * 1.6, 0.0, 1.0).astype(np.float32)
    clear = np.array([0.66, 0.74, 0.82]) * (1 - rise) + np.array([0.34, 0.5, 0.74]) * rise
    cover = np.clip(0.35 * shot.clouds() + 1.5 * overcast - 0.55, 0.0, 1.0)[..., None]
    grey = (0.9 + 0.05 * shot.clouds()[..., None]) * np.array([0.95, 1.0, 1.06])
    sky: Floats = (clear * (1 - cover) + grey * cover).astype(np.float32)
    return sky


def _photograph(shot: _Shot, *, overcast: float) -> Floats:
    """Radiance of a photograph by day before weather and sensor, shape (H, W, 3)."""
    focal = shot.scene.camera.focal * shot.size[0]
    colour = photographed(shot.buffers, shot.rng, focal=focal)
    colour = _daylight(shot, colour, overcast=overcast)
    return np.where(shot.sky[..., None], _day_sky(shot, overcast=overcast), colour)


def _camera(shot: _Shot) -> Image:
    overcast = float(np.clip(shot.rng.normal(0.45, 0.35), 0.0, 1.0))
    colour = _photograph(shot, overcast=overcast)
    haze = np.array([0.8, 0.85, 0.9], dtype=np.float32)
    colour = fogged(colour, shot.buffers.depth, beta=shot.rng.uniform(0.0, 0.002), airlight=haze)
    return exposed(colour, shot.rng)


def _fog(shot: _Shot) -> Image:
    colour = _photograph(shot, overcast=0.9)
    airlight = np.array([0.74, 0.76, 0.78], dtype=np.float32) * np.float32(shot.rng.uniform(0.85, 1.1))
    colour = fogged(colour, shot.buffers.depth, beta=shot.rng.uniform(*FOG_BETA), airlight=airlight)
    return exposed(colour, shot.rng)


def _dusk(shot: _Shot) -> Image:
    buffers, rng = shot.buffers, shot.rng
    colour = photographed(buffers, rng, focal=shot.scene.camera.focal * shot.size[0])
    colour = _daylight(shot, colour, overcast=0.85) * np.array([0.42, 0.47, 0.62], dtype=np.float32)
    # street lamps and headlights warm what is low and near
    near = np.exp(-((buffers.depth / rng.uniform(14.0, 30.0)) ** 2)) * np.clip(
        1.2 - buffers.place[..., 1] / 4, 0.1, 1.0
    )
    colour *= 1 + near[..., None] * np.array([1.3, 1.0, 0.6], dtype=np.float32)
    glass = (buffers.material == Material.GLASS) & (buffers.label != 12)
    bright = glass & (buffers.albedo.mean(axis=2) > rng.uniform(0.22, 0.4))
    colour[bright] = np.array([0.95, 0.75, 0.4]) * rng.uniform(0.6, 1.0)
    colour[buffers.material == Material.LAMP] = buffers.albedo[buffers.material == Material.LAMP] * 1.3
    rise = np.clip(buffers.ray[..., 1:2] * 2.0, 0.0, 1.0).astype(np.float32)
    low = np.array([0.75, 0.45, 0.3]) * rng.uniform(0.5, 1.0) + np.array([0.0, 0.05, 0.1])
    sky = low * (1 - rise) + np.array([0.14, 0.17, 0.32]) * rise
    sky = sky * (1 - 0.12 * np.clip(shot.clouds(), 0.0, 2.0)[..., None])
    colour = np.where(shot.sky[..., None], sky, colour).astype(np.float32)
    return exposed(colour, rng, exposure=1.15, noise=1.5, glow=0.35)


def _rain(shot: _Shot) -> Image:
    buffers, rng = shot.buffers, shot.rng
    colour = _photograph(shot, overcast=1.0)
    wet = (buffers.material <= Material.CURB) & (buffers.material >= Material.ASPHALT)
    colour[wet] *= 0.7
    # a wet road mirrors what stands above the horizon, more so the flatter the view and the deeper the puddle
    height = buffers.label.shape[0]
    flat = buffers.ray[..., 1] < 0
    horizon = int(np.clip(flat[:, 0].argmax(), 1, height - 1))
    rows = np.clip(2 * horizon - np.arange(height), 0, height - 1)
    mirrored = colour[rows]
    mirrored = ((mirrored + np.roll(mirrored, 2, axis=0) + np.roll(mirrored, -2, axis=0)) / 3).astype(np.float32)
    u, v = buffers.texture
    puddle = looked_up(np.full(u.shape, TEXTURES.index("clouds")), u * 20 + 40 * rng.random(), v * 8)
    share = np.clip(0.3 + 0.22 * puddle, 0.05, 0.75) * np.clip(1.25 + 2.0 * buffers.ray[..., 1], 0.3, 1.0)
    share = np.where(wet, share, 0.0)[..., None].astype(np.float32)
    colour = (colour * (1 - share) + mirrored * share).astype(np.float32)
    air = np.array([0.5, 0.53, 0.56], dtype=np.float32)
    colour = fogged(colour * 0.85, buffers.depth, beta=rng.uniform(0.003, 0.01), airlight=air)
    rows_, columns = np.mgrid[0:height, 0 : shot.size[0]]
    slant = columns + rows_ * rng.uniform(-0.3, 0.3)
    fall = looked_up(np.zeros_like(rows_), slant * 1.0 + 91, rows_ / 9 + columns * 0.37)
    colour = colour + (np.clip(fall - 1.7, 0.0, 1.0) * rng.uniform(0.1, 0.25)).astype(np.float32)[..., None]
    return exposed(colour, rng, blur=1.2)


_PAINTERS: dict[str, Callable[[_Shot], Image]] = {
    "render": _render,
    "camera": _camera,
    "dusk": _dusk,
    "fog": _fog,
    "rain": _rain,
}
LOOKS = tuple(_PAINTERS)
"""The names of all looks; ``render`` is the source, the others are targets."""


def look_named(look: str) -> Callable[[_Shot], Image]:
    """How a look is painted.

    Raises:
        UserError: no look has this name.
    """
    if look not in _PAINTERS:
        raise unknown("look of the built-in scenes", look, LOOKS)
    return _PAINTERS[look]
