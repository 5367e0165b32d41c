"""The verb ``label`` of detection: a detector's checkpoint and an unlabelled set -> boxes as COCO's JSON.

One look at every image; the manifest comes last and is what makes the folder one that can be trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import model_validator

from acclimate.data.wrappers import MANIFEST
from acclimate.io.identity import identity
from acclimate.pseudo.boxes import BoxSelection, annotations_of
from acclimate.stages.label import LabelStage
from acclimate.stages.stage import PREDICTION_WORK, Context, Place, Stage, StageSettings

__all__ = ["LabelBoxesStage", "LabelledBoxes"]


class LabelBoxesStage(StageSettings):
    """``label``: boxes on the target's training images from an earlier stage's detector.

    Attributes:
        label: the stage whose detector labels.
        selection: which of its boxes become pseudo-labels.
    """

    verb = "label"
    tasks = ("detection",)
    takes = MappingProxyType({"label": "train"})
    label: str
    selection: BoxSelection = BoxSelection()

    @model_validator(mode="before")
    @classmethod
    def _nothing_of_label_maps(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        if isinstance(values.get("label"), list):
            raise ValueError("label: one detector labels boxes; name one stage, not a list")
        if foreign := [key for key in values if key in LabelStage.model_fields and key not in cls.model_fields]:
            keys = " and ".join(foreign)
            raise ValueError(
                f"{keys}: a detector sees each image once, as a whole, and leaves no label maps; remove {keys}"
            )
        return values

    def check(self, context: Context) -> None:
        self.selection.thresholds(context.data.class_space.classes)

    def ready(self, context: Context) -> Sequence[Stage]:
        return [LabelledBoxes(context, self)]


class LabelledBoxes(Stage):
    """``annotations/SPLIT.json`` and ``manifest.json``."""

    verb = "label"
    shared = True

    def __init__(self, context: Context, stage: LabelBoxesStage) -> None:
        self.model = context.finished[stage.label]
        super().__init__(context, inputs=[self.model])
        self.stage, self.method = stage, self.model.method
        self.products = (MANIFEST, annotations_of(context.data.target.split))

    def identity(self) -> dict[str, Any]:
        return {
            "checkpoint": self.model.key,
            "data": self.context.data.target.fingerprint(),
            "selection": identity(self.stage.selection),
            "input_size": self.context.recipe.prediction_size(),
        }

    def work(self) -> float:
        return PREDICTION_WORK * len(self.context.data.target)

    def run(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = self.context.task.label(self, place)
        return found
