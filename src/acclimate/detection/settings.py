"""The settings of a detection training: those of segmentation with transforms that move boxes along."""

from __future__ import annotations

from pydantic import field_validator

from acclimate.data.sampling import Sampling
from acclimate.detection.transforms import BoxTransform
from acclimate.training.settings import TrainingSettings


class DetectionTraining(TrainingSettings):
    """How long, how fast and on what kind of picture a detection method trains.

    Attributes:
        source_transform, target_transform: what happens to images and boxes on their way in.
    """

    source_transform: BoxTransform = BoxTransform()  # type: ignore[assignment] # boxes move with their images
    target_transform: BoxTransform = BoxTransform()  # type: ignore[assignment]
    labelled_target: None = None
    mining: None = None
    snapshots: None = None

    @field_validator("source_sampling")
    @classmethod
    def _no_label_maps_to_count(cls, value: Sampling) -> Sampling:
        if value.kind != "shuffled":
            raise ValueError(f"detection draws its source shuffled; {value.kind} counts the pixels of label maps")
        return value

    @field_validator("source_portion")
    @classmethod
    def _the_whole_source(cls, value: float) -> float:
        if value != 1.0:
            raise ValueError("detection trains on the whole source; remove source_portion")
        return value
