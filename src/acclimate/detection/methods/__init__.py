"""The registry of detection methods: one file each, under the names of their segmentation counterparts."""

from __future__ import annotations

from acclimate.detection.methods.advent import DetectionAdvEnt
from acclimate.detection.methods.base import DetectionMethod, DetectionOptions, DetectionSetting
from acclimate.detection.methods.minent import DetectionMinEnt
from acclimate.detection.methods.oracle import DetectionOracle
from acclimate.detection.methods.source_only import DetectionSourceOnly
from acclimate.errors import unknown

DETECTION_METHODS: dict[str, type[DetectionMethod]] = {
    method.name: method for method in (DetectionSourceOnly, DetectionOracle, DetectionMinEnt, DetectionAdvEnt)
}
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
