"""Surface textures that repeat without a seam, made once per process and looked up by metres."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from acclimate.scenes.camera import Floats

SIZE = 256
"""Cells along each side of a texture."""
TEXTURES = ("grain", "clouds", "leaves", "bricks", "slabs", "pales", "streaks")


def _smooth(rng: np.random.Generator, cells: int) -> Floats:
    """Noise of a few cells, interpolated to full size, wrapping round."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    at = np.arange(SIZE, dtype=np.float32) * cells / SIZE
    low = at.astype(np.int64)
    share = at - low.astype(np.float32)
    share = (share * share * (3 - 2 * share)).astype(np.float32)
    high = (low + 1) % cells
    rows = coarse[low] * (1 - share[:, None]) + coarse[high] * share[:, None]
    smooth = (rows[:, low] * (1 - share) + rows[:, high] * share).astype(np.float32)
    return smooth


def _unit(texture: NDArray[np.floating]) -> Floats:
    """Shifted to mean 0 and scaled to standard deviation 1."""
    unit: Floats = ((texture - texture.mean()) / texture.std()).astype(np.float32)
    return unit


@lru_cache(maxsize=1)
def atlas() -> Floats:
    """All textures, shape (len(TEXTURES), SIZE, SIZE), each of mean 0 and standard deviation 1."""
    rng = np.random.Generator(np.random.Philox(14))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    grain = rng.standard_normal((SIZE, SIZE)) + 0.7 * _smooth(rng, 32)
    clouds = sum(_smooth(rng, 4 * 2**i) / 1.7**i for i in range(5))
    leaves = _smooth(rng, 64) + 0.8 * _smooth(rng, 128) + 0.5 * _smooth(rng, 16)
    leaves = np.where(leaves > 0.2, leaves + 1.0, leaves * 0.6)
    course = rows // 8
    joint = (rows % 8 < 2) | ((columns + 8 * (course % 2)) % 16 < 2)
    tone = rng.standard_normal((32, 17))[course, (columns + 8 * (course % 2)) // 16]
    bricks = np.where(joint, 1.6, 0.5 * tone)
    slab = rng.standard_normal((16, 16))[rows // 16, columns // 16]
    slabs = np.where((rows % 16 < 2) | (columns % 16 < 2), -2.0, 0.6 * slab) + 0.3 * grain
    pales = np.where(columns % 8 < 4, 0.8, -1.4) + 0.2 * grain
    streaks = _smooth(rng, 64)[:1] + 0.6 * _smooth(rng, 16) + 0.3 * grain
    made = (grain, clouds, leaves, bricks, slabs, pales, streaks)
    return np.stack([_unit(np.asarray(texture)) for texture in made])


def looked_up(which: NDArray[np.integer], across: NDArray[np.floating], along: NDArray[np.floating]) -> Floats:
    """Texture values at coordinates in cells; ``which`` picks the texture (its place in ``TEXTURES``)."""
    columns = np.floor(across).astype(np.int32) & (SIZE - 1)
    rows = np.floor(along).astype(np.int32) & (SIZE - 1)
    values: Floats = atlas()[which, rows, columns]
    return values
