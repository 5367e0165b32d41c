"""The verb ``checkpoint``: a network trained elsewhere, as a file of acclimate's."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.io.files import atomic, hash_of_file
from acclimate.models.checkpoint import expect_classes
from acclimate.models.reordered import order_of
from acclimate.stages.stage import MODEL, Context, Place, Stage, StageSettings

ELSEWHERE = "elsewhere"
"""The method of a checkpoint that does not say what trained it."""


class CheckpointStage(StageSettings):
    """``checkpoint``: a network trained elsewhere, as a file of acclimate's; later stages start from it as from any."""

    verb = "checkpoint"
    tasks = ("segmentation", "detection")
    leaves = "train"
    checkpoint: str

    def check(self, context: Context) -> None:
        card = context.task.card(Path(self.checkpoint))
        order = order_of(card, context.data.class_space, Path(self.checkpoint))
        if order is not None and context.task.name != "segmentation":
            expect_classes(card, context.data.class_space, Path(self.checkpoint))

    def ready(self, context: Context) -> Sequence[Stage]:
        return [TakenCheckpoint(context, Path(self.checkpoint))]


class TakenCheckpoint(Stage):
    """A copy of the file, so that the user's may change or go."""

    verb = "checkpoint"
    products = (MODEL,)

    def __init__(self, context: Context, path: Path) -> None:
        super().__init__(context)
        self.path = path
        self.method = context.task.card(path).method or ELSEWHERE

    def identity(self) -> dict[str, Any]:
        return {"sha256": hash_of_file(self.path)}

    def run(self, place: Place) -> dict[str, Any]:
        with atomic(place.folder / MODEL) as temporary:
            shutil.copyfile(self.path, temporary)
        return {}
