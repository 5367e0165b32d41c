"""The shape of a feature map with anchors."""

from __future__ import annotations

from typing import NamedTuple


class MapShape(NamedTuple):
    """A feature map's height, width and number of anchors per cell."""

    height: int
    width: int
    anchors: int

    @property
    def priors(self) -> int:
        return self.height * self.width * self.anchors
