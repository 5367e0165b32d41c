"""From light to a file: white balance, tone curve, blur, vignetting, noise and JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter

from acclimate.scenes.camera import Floats, Image


def exposed(
    radiance: Floats,
    rng: np.random.Generator,
    *,
    exposure: float = 1.0,
    noise: float = 1.0,
    blur: float = 1.0,
    glow: float = 0.0,
) -> Image:
    """The picture that a small camera makes of ``radiance``, which differs a little from shot to shot.

    Args:
        radiance: (H, W, 3), about 0-1.
        rng: this shot's exposure, white balance, noise and compression.
        exposure: factor on the light.
        noise: factor on the sensor's noise.
        blur: factor on the width of the lens's blur.
        glow: share of light that bright spots spill over their surroundings.
    """
    height, width = radiance.shape[:2]
    balance = np.exp(rng.normal(0.0, (0.05, 0.015, 0.06))) * np.array([1.03, 1.0, 0.95])
    light = radiance * (exposure * np.exp(rng.normal(0.0, 0.1)) * balance).astype(np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light *= (1 - rng.uniform(0.08, 0.22) * (x * x + y * y))[..., None]
    # a film-like curve: shadows lifted a little, lights rolled off
    light = np.minimum(light, 1.0)
    light = 0.02 + 0.96 * light * (1.2 - 0.2 * light)
    picture = Pillow.fromarray((np.clip(light, 0.0, 1.0) * 255).astype(np.uint8))
    scale = width / 256
    if glow:
        spilled = picture.filter(ImageFilter.BoxBlur(4.0 * scale))
        picture = Pillow.blend(picture, spilled, glow)
    picture = picture.filter(ImageFilter.GaussianBlur(blur * rng.uniform(0.3, 0.6) * scale))
    values = np.asarray(picture, dtype=np.float32)
    # shot noise grows with the root of the light, read noise does not
    deviation = noise * rng.uniform(0.5, 1.3) * (1.5 + 0.3 * np.sqrt(values))
    grain = rng.standard_normal(values.shape, dtype=np.float32)
    values = np.clip(values + grain * deviation, 0, 255)
    buffer = io.BytesIO()
    Pillow.fromarray(values.astype(np.uint8)).save(buffer, "JPEG", quality=int(rng.integers(65, 90)))
    return np.array(Pillow.open(buffer), dtype=np.uint8)
