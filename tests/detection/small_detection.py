"""The smallest detection recipes and methods, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import torch

from acclimate.detection.config import DetectorConfig
from acclimate.detection.methods import DETECTION_METHODS
from acclimate.detection.methods.base import DetectionMethod, DetectionSetting
from acclimate.detection.networks import build_detector
from acclimate.methods.optimizers import OptimizerSettings

NETWORK: dict[str, Any] = {"name": "light-ssd", "width": 8}
TRAINING: dict[str, Any] = {
    "steps": 2,
    "batch_size": 2,
    "precision": "32-true",
    "source_transform": {"size": [64, 64]},
    "target_transform": {"size": [64, 64]},
}


def method(name: str, **options: Any) -> DetectionMethod:
    torch.manual_seed(0)
    kind = DETECTION_METHODS[name]
    if name == "advent":
        options = {"discriminator_layers": 3, "discriminator_width": 4, **options}
    detector = build_detector(DetectorConfig(**NETWORK), 3)
    return kind(detector, options=kind.Options(**options), setting=DetectionSetting(OptimizerSettings()))
