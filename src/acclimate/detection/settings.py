"""The settings of a detection training: those of segmentation with other transforms and SSD's schedule."""

from __future__ import annotations

from pydantic import field_validator

from acclimate.data.sampling import Sampling
from acclimate.detection.transforms import BoxTransform
from acclimate.training.settings import TrainingSettings


class DetectionTraining(TrainingSettings):
    """How long, how fast and on what kind of picture a detection method trains.

    Attributes:
        source_transform, target_transform: what happens to images and boxes on their way in.
        milestones: steps at which the learning rate is divided by ten (80,000 and 100,000 of 120,000 in SSD's published
            training); none: the poly schedule.
        warm_up: steps over which the learning rate rises linearly to its value.
    """

    source_transform: BoxTransform = BoxTransform()  # type: ignore[assignment] # boxes move with their images
    target_transform: BoxTransform = BoxTransform()  # type: ignore[assignment]
    mining: None = None
    snapshots: None = None
    milestones: tuple[int, ...] = ()
    warm_up: int = 0

    @field_validator("source_sampling")
    @classmethod
    def _no_label_maps_to_count(cls, value: Sampling) -> Sampling:
        if value.kind != "shuffled":
            raise ValueError(f"detection draws its source shuffled; {value.kind} counts the pixels of label maps")
        return value

    def learning_rate_factor(self, step: int) -> float:
        """What every starting learning rate is multiplied by at ``step``."""
        factor = super().learning_rate_factor(step)
        if self.milestones:
            factor = 0.1 ** sum(step >= milestone for milestone in self.milestones)
        return factor * min(1.0, (step + 1) / self.warm_up) if self.warm_up else factor
