"""The schema of a recipe: its stages, their fields, and the settings each stage ends up with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
)

from acclimate.data.cut import Cut
from acclimate.data.tolerance import BadData
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.io.plugins import shipped
from acclimate.io.validation import validated
from acclimate.models.wrapped import allow_code, expect_allowed
from acclimate.recipe.text import merged
from acclimate.stages.checkpoint import CheckpointStage
from acclimate.stages.stage import StageSettings
from acclimate.stages.train import TrainStage
from acclimate.stages.translate import TranslateStage
from acclimate.tasks import TaskName, task_named
from acclimate.training.settings import TrainingSettings
from acclimate.translation.settings import CycleGanOptions, TranslationTraining, Writing

M = TypeVar("M", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Strict):
    """A published row to stand beside ours; IoU and mIoU (``ap`` and ``map`` in detection) in percent, as printed."""

    name: str
    miou: float | None = Field(default=None, validation_alias=AliasChoices("miou", "map"))
    subsets: dict[str, float] = {}
    iou: list[float | None] = Field(default=[], validation_alias=AliasChoices("iou", "ap"))
    source: str = ""


def _stages_of(task: str) -> dict[str, type[StageSettings]]:
    return shipped("acclimate.stages", StageSettings, key="verb", where=lambda kind: task in kind.tasks)  # type: ignore[type-abstract]


STAGES: dict[str, dict[str, type[StageSettings]]] = {task: _stages_of(task) for task in get_args(TaskName)}
"""Task -> verb -> what a recipe may say of such a stage: a verb is a file of ``stages/``, or one for each task."""

VERBS: list[str] = sorted({verb for stages in STAGES.values() for verb in stages})
"""The verbs of all tasks."""


class TranslationDefaults(_Strict):
    """What every ``translate: cyclegan`` stage starts from."""

    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    writing: dict[str, Any] = {}


def _by_its_verb(stage: Mapping[str, Any], task: str) -> Any:
    model = next((model for verb, model in STAGES[task].items() if verb in stage), None)
    return stage if model is None else model.model_validate(stage)


class Recipe(_Strict):
    """A list of stages and what they share.

    Attributes:
        name, about: what it is, in a word and in a sentence.
        task: what is predicted: ``segmentation`` or ``detection``.
        paper: the publication and table it reproduces, if any.
        source, target: data specs ``kind:path``; the command line can replace them.
        evaluation: spec that scores are measured on; None: the target's.
        source_split, target_split, evaluation_split: which part of each set is read.
        source_cut: margins of the source's pictures that are left out; see :class:`acclimate.data.cut.Cut`.
        protocol: class space, subsets and resampling of the scores; the class space is also trained on.
        input_size: (width, height) networks see when predicting; None: the target transform's size.
        inference: size, mirrored images, scales, windows when scoring; see ``evaluation/inference.py``.
        network: what every ``train`` stage builds; where it has no name, that of the checkpoint a stage goes on from.
        training: what every ``train`` stage starts from.
        options: what the options of every ``train`` stage start from; only what every method has belongs here.
        translation: what every ``translate`` stage starts from.
        examine: pictures of each domain that the doctor looks at, before training and after each; 0: none.
        bad_data: ``stop`` at an image or label that cannot be read, or ``skip`` it: leave it out, list and count it.
        bad_data_cap: the largest share of a set's images that ``skip`` may leave out.
        stages: name -> verb and its settings, in order.
        published: rows to stand beside ours.
    """

    name: str
    task: TaskName = "segmentation"
    about: str = ""
    paper: str = ""
    source: str | None = None
    target: str | None = None
    evaluation: str | None = None
    source_split: str = "train"
    target_split: str = "train"
    evaluation_split: str = "val"
    source_cut: Cut | None = None
    protocol: str | None = None
    input_size: tuple[PositiveInt, PositiveInt] | None = None
    inference: Inference = Inference()
    network: dict[str, Any] = {}
    training: dict[str, Any] = {}
    options: dict[str, Any] = {}
    translation: TranslationDefaults = TranslationDefaults()
    examine: NonNegativeInt = 64
    bad_data: BadData = "stop"
    bad_data_cap: float = Field(default=0.01, ge=0.0, le=1.0)
    stages: dict[str, SerializeAsAny[StageSettings]] = Field(min_length=1)
    published: list[Published] = []

    @field_validator("stages", mode="before")
    @classmethod
    def _stages_by_their_verbs(cls, stages: Any, info: ValidationInfo) -> Any:
        task = info.data.get("task")  # missing where it is at fault itself
        if task is None or not isinstance(stages, Mapping):
            return stages
        return {
            name: _by_its_verb(stage, task) if isinstance(stage, Mapping) else stage for name, stage in stages.items()
        }

    def network_config(self, stage: TrainStage, *, where: str = "") -> Any:
        """The network a ``train`` stage builds; ``where`` is the stage's key for error messages."""
        task, values = task_named(self.task), merged({"network": self.network}, {"network": stage.network})["network"]
        if "name" in values:
            config: Any = validated(
                task.network, values, f"recipe {self.name}: {where if stage.network else ''}network"
            )
            allow_code(config.name)
            return config
        found = self.checkpoint_under(stage)
        if found is None:
            raise UserError(
                f"recipe {self.name}: network.name is missing: name one (`acclimate list networks`), or start "
                "from a checkpoint, which says its own"
            )
        config = task.card(Path(found.checkpoint)).network
        expect_allowed(config.name, found.checkpoint)
        written = config.model_dump()
        written |= written.pop("options", {})
        return validated(task.network, {**written, **values}, f"recipe {self.name}: {where}network")

    def checkpoint_under(self, stage: TrainStage) -> CheckpointStage | None:
        """The ``checkpoint`` stage whose network a ``train`` stage goes on with, perhaps through others."""
        at: StageSettings | None = stage
        for _ in self.stages:
            if not isinstance(at, TrainStage) or at.start is None:
                break
            at = self.stages.get(at.start)
        return at if isinstance(at, CheckpointStage) else None

    def training_settings(self, stage: TrainStage, *, where: str = "") -> TrainingSettings:
        """How a ``train`` stage trains; ``where`` is the stage's key for error messages."""
        values = merged(self.training, stage.training)
        return validated(
            task_named(self.task).training, values, f"recipe {self.name}: {where if stage.training else ''}training"
        )

    def translation_settings(
        self, stage: TranslateStage, *, where: str = ""
    ) -> tuple[CycleGanOptions, TranslationTraining, Writing]:
        """How a ``translate`` stage translates; ``where`` is the stage's key for error messages."""

        def settings(key: str, model: type[M]) -> M:
            own: dict[str, Any] = getattr(stage, key)
            place = f"{where if own else 'translation.'}{key}"
            return validated(model, merged(getattr(self.translation, key), own), f"recipe {self.name}: {place}")

        return (
            settings("options", CycleGanOptions),
            settings("training", TranslationTraining),
            settings("writing", Writing),
        )

    def prediction_size(self) -> tuple[int, int] | None:
        """(width, height) of the images networks see when predicting."""
        if size := self.inference.size or self.input_size:
            return size
        settings = validated(task_named(self.task).training, self.training, f"recipe {self.name}: training")
        return settings.target_transform.size
