"""The registry of detection methods: one file each, under the names of their segmentation counterparts."""

from __future__ import annotations

from acclimate.detection.methods.advent import DetectionAdvEnt
from acclimate.detection.methods.base import DetectionMethod, DetectionOptions, DetectionSetting
from acclimate.detection.methods.minent import DetectionMinEnt
from acclimate.detection.methods.oracle import DetectionOracle
from acclimate.detection.methods.source_only import DetectionSourceOnly

DETECTION_METHODS: dict[str, type[DetectionMethod]] = {
    method.name: method for method in (DetectionSourceOnly, DetectionOracle, DetectionMinEnt, DetectionAdvEnt)
}
"""Every detection method by name."""

__all__ = ["DETECTION_METHODS", "DetectionMethod", "DetectionOptions", "DetectionSetting"]
