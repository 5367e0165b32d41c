"""Colours: the map from entropy to colour, and the colours of models."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

# anchors of the entropy map as (lightness, chroma, hue in degrees) in OKLCH: lightness rises evenly from night to
# pale yellow while the hue turns from violet over red to yellow, so that brighter always means less certain, in
# greyscale and for colour-blind readers too
_ANCHORS = ((0.10, 0.03, 285.0), (0.28, 0.13, 295.0), (0.46, 0.19, 340.0), (0.64, 0.19, 385.0), (0.81, 0.15, 422.0),
            (0.98, 0.06, 462.0))  # fmt: skip


def entropy_colours() -> NDArray[np.uint8]:
    """A perceptually even colour map, (256, 3): 0 (certain) is near black, 255 (uniform) pale yellow."""
    position = np.linspace(0, len(_ANCHORS) - 1, 256)
    lightness, chroma, hue = (
        np.interp(position, np.arange(len(_ANCHORS)), [anchor[k] for anchor in _ANCHORS]) for k in range(3)
    )
    angle = np.deg2rad(hue)
    return _srgb_from_oklab(np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1))


def _srgb_from_oklab(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """8-bit sRGB of OKLab colours (..., 3), clipped to the gamut (Ottosson 2020, "A perceptual color space")."""
    to_cone = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(((lab @ to_cone.T) ** 3) @ to_linear.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    result: NDArray[np.uint8] = np.round(255 * encoded).astype(np.uint8)
    return result


_MODEL_COLOURS = ("#3a7fc4", "#d4603a", "#2c9c74", "#8a63c4", "#c25590", "#2a9fb0", "#8a962f", "#a4714c",
                  "#b33a3a", "#5fae45", "#d48fc0", "#50628a")  # fmt: skip


def model_colours(names: list[str], roles: dict[str, str]) -> dict[str, str]:
    """A colour per model that reads on light and dark ground: grey for source-only, gold for the oracle.

    It goes by the name itself where it is free, so that a model keeps its colour on every page: ``run: advent`` has
    advent's.
    """
    fixed = {"source-only": "#8b919a", "oracle": "#bf9216"}
    colours: dict[str, str] = {}
    for name in names:
        taken = set(colours.values())
        if (role := roles.get(name, "")) in fixed and fixed[role] not in taken:
            colours[name] = fixed[role]
            continue
        first = zlib.crc32(name.rpartition(": ")[2].encode()) % len(_MODEL_COLOURS)
        turns = [_MODEL_COLOURS[(first + turn) % len(_MODEL_COLOURS)] for turn in range(len(_MODEL_COLOURS))]
        colours[name] = next((colour for colour in turns if colour not in taken), turns[0])
    return colours
