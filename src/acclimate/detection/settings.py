"""The settings of a detection training: those of segmentation with transforms that move boxes along."""

from __future__ import annotations

from acclimate.detection.transforms import BoxTransform
from acclimate.training.settings import TrainingSettings


class DetectionTraining(TrainingSettings):
    """How long, how fast and on what kind of picture a detection method trains.

    Attributes:
        source_transform, target_transform: what happens to images and boxes on their way in.
    """

    source_transform: BoxTransform = BoxTransform()  # type: ignore[assignment] # boxes move with their images
    target_transform: BoxTransform = BoxTransform()  # type: ignore[assignment]
    mining: None = None
    snapshots: None = None
