"""The detection methods: every class in a file of this folder with a name, that of its segmentation counterpart."""

from __future__ import annotations

from acclimate.detection.methods.base import DetectionMethod, DetectionOptions, DetectionSetting
from acclimate.errors import unknown
from acclimate.io.plugins import shipped

DETECTION_METHODS: dict[str, type[DetectionMethod]] = shipped("acclimate.detection.methods", DetectionMethod)  # type: ignore[type-abstract]
"""Every detection method by name."""


def detection_method(name: str) -> type[DetectionMethod]:
    """The detection method of that name.

    Raises:
        UserError: there is none.
    """
    if name not in DETECTION_METHODS:
        raise unknown("detection method", name, DETECTION_METHODS)
    return DETECTION_METHODS[name]


__all__ = ["DETECTION_METHODS", "DetectionMethod", "DetectionOptions", "DetectionSetting", "detection_method"]
