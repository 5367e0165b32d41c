"""What happens to each material when it is not rendered but photographed: other tones, and a texture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acclimate.scenes.camera import Floats
from acclimate.scenes.render import Buffers
from acclimate.scenes.shapes import Colour, Material
from acclimate.scenes.textures import TEXTURES, looked_up


class Appearance(NamedTuple):
    """How a photographed material differs from its clean reflectance.

    Attributes:
        saturation: factor on the distance from grey.
        gain: factor on the brightness.
        varies: standard deviation of the gain's logarithm from one image to the next.
        tint: colour it leans towards.
        leans: how far, 0-1.
        texture: name of its texture.
        cells: texture cells per metre across and along.
        contrast: standard deviation that the texture adds to the brightness, as a share.
    """

    saturation: float = 0.5
    gain: float = 0.8
    varies: float = 0.15
    tint: Colour = (0.5, 0.5, 0.5)
    leans: float = 0.0
    texture: str = "grain"
    cells: tuple[float, float] = (12.0, 12.0)
    contrast: float = 0.08


PHOTOGRAPHED: dict[Material, Appearance] = {
    Material.SKY: Appearance(contrast=0.0),
    Material.ASPHALT: Appearance(0.5, 0.95, 0.16, (0.5, 0.47, 0.42), 0.2, "grain", (14.0, 7.0), 0.08),
    Material.MARKING: Appearance(0.3, 0.85, 0.1, (0.65, 0.62, 0.55), 0.2, "grain", (10.0, 10.0), 0.12),
    Material.PAVEMENT: Appearance(0.8, 0.9, 0.12, (0.55, 0.48, 0.42), 0.3, "slabs", (14.0, 14.0), 0.14),
    Material.CURB: Appearance(0.4, 0.9, 0.1, (0.6, 0.58, 0.55), 0.3, "grain", (8.0, 8.0), 0.06),
    Material.GRASS: Appearance(0.6, 0.85, 0.15, (0.5, 0.45, 0.2), 0.3, "leaves", (9.0, 9.0), 0.2),
    Material.FACADE: Appearance(0.55, 0.85, 0.15, (0.55, 0.45, 0.38), 0.25, "bricks", (26.0, 40.0), 0.13),
    Material.GLASS: Appearance(0.5, 1.4, 0.3, (0.5, 0.55, 0.6), 0.25, "clouds", (14.0, 14.0), 0.25),
    Material.ROOF: Appearance(0.6, 0.85, 0.15, (0.4, 0.34, 0.3), 0.25, "slabs", (30.0, 40.0), 0.16),
    Material.STONE: Appearance(0.7, 0.9, 0.15, (0.5, 0.42, 0.34), 0.25, "bricks", (30.0, 48.0), 0.2),
    Material.RAILING: Appearance(0.6, 0.85, 0.15, (0.4, 0.36, 0.3), 0.25, "pales", (26.0, 26.0), 0.3),
    Material.METAL: Appearance(0.6, 0.85, 0.2, (0.4, 0.4, 0.38), 0.25, "grain", (10.0, 4.0), 0.1),
    Material.BARK: Appearance(0.7, 0.9, 0.2, (0.35, 0.3, 0.25), 0.3, "streaks", (40.0, 10.0), 0.2),
    Material.FOLIAGE: Appearance(0.6, 0.85, 0.15, (0.38, 0.36, 0.14), 0.3, "leaves", (16.0, 16.0), 0.3),
    Material.LAMP: Appearance(0.95, 1.2, 0.1, contrast=0.0),
    Material.PLATE: Appearance(0.8, 0.9, 0.1, (0.5, 0.5, 0.48), 0.1, "grain", (10.0, 10.0), 0.04),
    Material.SKIN: Appearance(0.8, 0.9, 0.1, contrast=0.04),
    Material.CLOTH: Appearance(0.65, 0.8, 0.15, (0.25, 0.25, 0.28), 0.2, "clouds", (80.0, 60.0), 0.14),
    Material.PAINT: Appearance(0.75, 0.9, 0.15, (0.4, 0.42, 0.45), 0.15, "clouds", (30.0, 60.0), 0.12),
    Material.RUBBER: Appearance(0.5, 1.2, 0.15, contrast=0.04),
}


def photographed(buffers: Buffers, rng: np.random.Generator, *, focal: float) -> Floats:
    """The reflectance of a view with the tones and textures of a photograph, shape (H, W, 3), 0 and above.

    Args:
        buffers: the view.
        rng: how this image's materials differ from another's.
        focal: focal length in pixels; textures fade where a cell gets smaller than a pixel.
    """
    kinds = [PHOTOGRAPHED[m] for m in Material]
    count = len(kinds)
    material = buffers.material
    gain = np.array([k.gain for k in kinds]) * np.exp(rng.standard_normal(count) * [k.varies for k in kinds])
    saturation = np.array([k.saturation for k in kinds]) * rng.uniform(0.75, 1.25, count)
    leans = np.array([k.leans for k in kinds]) * rng.uniform(0.4, 1.5, count)
    tint = np.array([k.tint for k in kinds]) * rng.uniform(0.9, 1.1, (count, 3))

    # albedo -> gain (s a + (1 - s) grey), leaning towards a tint
    keep = (gain * (1 - leans)).astype(np.float32)
    colour = (keep * saturation).astype(np.float32)[material][..., None] * buffers.albedo
    grey = buffers.albedo.mean(axis=2)
    colour += ((keep * (1 - saturation)).astype(np.float32)[material] * grey)[..., None]
    colour += (tint * (gain * leans)[:, None]).astype(np.float32)[material]

    across = np.array([k.cells[0] for k in kinds], dtype=np.float32)[material]
    along = np.array([k.cells[1] for k in kinds], dtype=np.float32)[material]
    which = np.array([TEXTURES.index(k.texture) for k in kinds], dtype=np.int32)
    # not every town is built of brick
    if rng.random() < 0.45:
        which[Material.FACADE] = TEXTURES.index("grain" if rng.random() < 0.5 else "streaks")
    contrast = np.array([k.contrast for k in kinds], dtype=np.float32) * rng.uniform(0.9, 1.8, count).astype(np.float32)
    u, v = buffers.texture
    start = rng.uniform(0.0, 256.0, 2).astype(np.float32)
    pattern = looked_up(which[material], u * across + start[0], v * along + start[1])
    sharp = np.minimum(focal / (buffers.depth * 0.5 * (across + along)) * 2.0, 1.0)
    # wear and dirt that is wider than a texture's cells
    wear = looked_up(np.full_like(material, TEXTURES.index("clouds")), u * 9.0 + start[1], v * 9.0 + start[0])
    wear = np.where(material == Material.SKY, 0.0, wear * 0.07)
    colour *= np.maximum(1.0 + contrast[material] * pattern * sharp + wear, 0.1)[..., None]
    faded: Floats = np.maximum(colour, 0.0).astype(np.float32)
    return faded
