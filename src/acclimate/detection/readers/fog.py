"""Fog rendered into clear pictures from stereo disparity, as Foggy Cityscapes was made (Sakaridis et al. 2018).

I = R t + L (1 - t) with t = exp(-beta d): R the clear picture, L the atmospheric light, d the distance along the ray.
The published pipeline also cleans the depth with superpixels and smooths t along edges; here gaps are filled from
around them and t is as ragged as the disparity.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from acclimate.data.sample import Image
from acclimate.errors import UserError
from acclimate.scenes.looks import fogged

Floats = NDArray[np.float32]
FAR = 1e4
"""Metres: the sky's distance, at which nothing of it is left in any fog."""
DARK_PATCH = 15
"""Pixels on each side of the patches of the dark channel (He et al. 2009)."""


class Camera(NamedTuple):
    """A rectified stereo camera: metres between the two, focal lengths and principal point in pixels."""

    baseline: float
    fx: float
    fy: float
    u0: float
    v0: float


def camera_of(content: Any, *, where: Path) -> Camera:
    """The camera of a ``_camera.json`` of Cityscapes.

    Raises:
        UserError: it is none.
    """
    try:
        inside: Mapping[str, Any] = content["intrinsic"]
        camera = Camera(float(content["extrinsic"]["baseline"]), *(float(inside[key]) for key in Camera._fields[1:]))
        if not min(camera[:3]) > 0:
            raise ValueError("its baseline and focal lengths must be above 0")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where} is no camera of Cityscapes ({error!r}); unpack it anew") from error
    return camera


def distances(raw: NDArray[np.uint16], camera: Camera, *, sky: NDArray[np.bool_] | None = None) -> Floats:
    """Metres along the ray to every pixel, (H, W).

    Args:
        raw: disparity as Cityscapes stores it: 0 where it is unknown, else 256 times its pixels, plus 1.
        camera: what it was recorded with.
        sky: where the sky is, if that is known; None: what is unknown and has nothing measured above it in its column.
    """
    known = raw > 1
    if sky is None:
        sky = ~np.maximum.accumulate(known, axis=0)
    disparity = filled(np.where(known & ~sky, (raw.astype(np.float32) - 1) / 256, 0.0), known & ~sky)
    depth = camera.baseline * camera.fx / np.maximum(disparity, 1e-3)
    rows, columns = np.indices(raw.shape, dtype=np.float32)
    across, down = (columns - camera.u0) / camera.fx, (rows - camera.v0) / camera.fy
    found: Floats = np.where(sky, FAR, depth * np.sqrt(1 + across**2 + down**2)).astype(np.float32)
    return found


def filled(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Values (H, W) with gaps filled from around them: means over ever larger squares, as large as it takes."""
    if not known.any():
        return np.asarray(values, dtype=np.float32)
    result = _filled(
        torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None], torch.from_numpy(known)
    )
    found: Floats = result[0, 0].numpy()
    return found


def _filled(values: Tensor, known: Tensor) -> Tensor:
    if bool(known.all()):
        return values
    share = known.to(values.dtype)[None, None]
    weight = functional.avg_pool2d(share, 2, ceil_mode=True)
    means = functional.avg_pool2d(values * share, 2, ceil_mode=True) / weight.clamp(min=1e-6)
    coarse = _filled(means, weight[0, 0] > 0)
    spread = functional.interpolate(coarse, scale_factor=2, mode="nearest")[..., : known.shape[0], : known.shape[1]]
    return torch.where(known, values, spread)


def atmospheric_light(image: Floats) -> Floats:
    """(3,): the brightest of the 0.1 % of pixels whose surroundings are brightest in their darkest channel.

    Args:
        image: (H, W, 3) in [0, 1].
    """
    darkest = torch.from_numpy(image.min(axis=2))[None, None]
    around = -functional.max_pool2d(-darkest, DARK_PATCH, stride=1, padding=DARK_PATCH // 2)
    count = max(1, image.shape[0] * image.shape[1] // 1000)
    brightest = around >= around.flatten().topk(count).values[-1]  # with all that are as bright as the last of them
    candidates = image[brightest[0, 0].numpy()]
    light: Floats = candidates[candidates.sum(axis=1).argmax()]
    return light


def with_fog(image: Image, distance: Floats, *, beta: float) -> Image:
    """The picture (H, W, 3) in fog of attenuation ``beta`` in 1/m; 0.02 lets one see 150 m."""
    clear = image.astype(np.float32) / np.float32(255)
    seen = fogged(clear, distance, beta=beta, airlight=atmospheric_light(clear))
    picture: Image = (seen * 255).round().clip(0, 255).astype(np.uint8)
    return picture
