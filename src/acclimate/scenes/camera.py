"""A pinhole camera over a ground plane.

The world has x to the right of the street, y up from the ground and z along the street, in metres. Depth is measured
along the optical axis (what a depth camera stores), not along the ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
"""RGB, shape (H, W, 3), 0-255."""


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and looks.

    Attributes:
        height: metres above the ground.
        pitch: radians, positive looks down.
        yaw: radians, positive looks to the right.
        focal: focal length as a fraction of the image's width.
        lateral: x of the camera in metres; its z is 0.
    """

    height: float
    pitch: float
    yaw: float
    focal: float
    lateral: float

    def position(self) -> Floats:
        """The camera's place in the world, shape (3,)."""
        return np.array([self.lateral, self.height, 0.0], dtype=np.float32)

    def axes(self) -> Floats:
        """The camera's right, up and forward axes in world coordinates, one per row, shape (3, 3)."""
        sp, cp, sy, cy = math.sin(self.pitch), math.cos(self.pitch), math.sin(self.yaw), math.cos(self.yaw)
        return np.array([[cy, 0.0, -sy], [sy * sp, cp, cy * sp], [sy * cp, -sp, cy * cp]], dtype=np.float32)

    def seen_from(self, points: Floats) -> Floats:
        """World points (N, 3) in camera coordinates: right, up and depth, shape (N, 3)."""
        seen: Floats = (points - self.position()) @ self.axes().T
        return seen

    def pixels(self, seen: Floats, *, width: int, height: int) -> Floats:
        """Where points in camera coordinates (N, 3) fall in the image, (N, 2): x and y, pixel edges at integers."""
        scale = self.focal * width / seen[:, 2]
        return np.stack([width / 2 + seen[:, 0] * scale, height / 2 - seen[:, 1] * scale], axis=1)

    def rays(self, *, width: int, height: int) -> Floats:
        """Per pixel centre, its direction in camera coordinates with depth 1, shape (H, W, 3)."""
        x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / (self.focal * width)
        y = (height / 2 - 0.5 - np.arange(height, dtype=np.float32)) / (self.focal * width)
        rays = np.ones((height, width, 3), dtype=np.float32)
        rays[..., 0] = x[None, :]
        rays[..., 1] = y[:, None]
        return rays
