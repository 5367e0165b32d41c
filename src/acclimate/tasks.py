"""What a recipe can be about: the methods, networks and settings of segmentation and of detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from acclimate.data.registry import DATASETS
from acclimate.detection.config import DetectorConfig
from acclimate.detection.methods import DETECTION_METHODS, detection_method
from acclimate.detection.settings import DetectionTraining
from acclimate.detection.task import (
    BOXED_DATASETS,
    PseudoLabelledBoxes,
    box_stats,
    check_boxes,
    export_detector,
    is_detector,
    label_target,
    label_with_detector,
    open_boxed_sets,
    open_boxes,
    predict_boxes,
    read_detector_card,
    score_checkpoint,
    score_detector,
    what_ships,
)
from acclimate.detection.train import DetectorTraining
from acclimate.errors import unknown
from acclimate.io.validation import validated
from acclimate.methods import METHODS, method_class
from acclimate.methods.trainable import Trainable
from acclimate.models.checkpoint import read_card
from acclimate.models.config import NetworkConfig
from acclimate.stages.data import named_sets, open_sets
from acclimate.stages.evaluate import EvaluateStage, ScoredModels, score_networks
from acclimate.stages.label import label_with_networks, with_pseudo_labels
from acclimate.stages.stage import MODEL, Place, RunData
from acclimate.stages.train import TrainRequest
from acclimate.stages.training import SegmentationTraining
from acclimate.training.settings import TrainingSettings

TaskName = Literal["segmentation", "detection"]


@dataclass(frozen=True)
class Task:
    """What recipes of one task consist of.

    Attributes:
        name: how a recipe names it.
        methods: those that ship, by name.
        method: the method of a name, of installed packages too; raises UserError where there is none.
        network: the model of the recipe's ``network``.
        training: the model of the recipe's ``training``.
        train_request: what a ``train`` stage builds its method, batches and checkpoint with.
        open: the data sets of a recipe, given its ``evaluate`` stages.
        card: what is known of a checkpoint.
        score: carries out an ``evaluate`` stage.
        label: carries out a ``label`` stage; gives what it cost.
        pseudo_labelled: a set with the pseudo-labels of a finished ``label`` stage's folder in place of its own labels.
        examined: whether its models predict label maps, which the doctor can look at.
    """

    name: TaskName
    methods: Mapping[str, type[Trainable[Any]]]
    method: Callable[[str], type[Trainable[Any]]]
    network: type[BaseModel]
    training: type[TrainingSettings]
    train_request: Callable[..., TrainRequest]
    open: Callable[[Any, Sequence[EvaluateStage]], RunData]
    card: Callable[[Path], Any]
    score: Callable[[ScoredModels, Place], None]
    label: Callable[[Any, Place], dict[str, Any]]
    pseudo_labelled: Callable[[Any, Path], Any]
    examined: bool = False

    def options(self, name: str, values: dict[str, Any]) -> BaseModel:
        """The validated options of a method.

        Raises:
            UserError: options are unknown or out of their range; all are listed.
        """
        return validated(self.method(name).Options, values, f"method {name}")


def _open_boxed(recipe: Any, evaluated: Sequence[EvaluateStage]) -> RunData:
    source, target = named_sets(recipe)
    return RunData(**open_boxed_sets(recipe, source, target, scores=bool(evaluated)))


TASKS: dict[str, Task] = {
    "segmentation": Task(
        "segmentation",
        METHODS,
        method_class,
        NetworkConfig,
        TrainingSettings,
        SegmentationTraining,
        open_sets,
        read_card,
        score_networks,
        label_with_networks,
        with_pseudo_labels,
        examined=True,
    ),
    "detection": Task(
        "detection",
        DETECTION_METHODS,
        detection_method,
        DetectorConfig,
        DetectionTraining,
        DetectorTraining,
        _open_boxed,
        read_detector_card,
        partial(score_detector, model=MODEL),
        partial(label_target, model=MODEL),
        PseudoLabelledBoxes,
    ),
}
"""Every task by name."""


def task_named(name: object) -> Task:
    """The task of that name.

    Raises:
        UserError: there is none.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise unknown("task", str(name), TASKS)
    return TASKS[name]


def task_of_data(spec: str, asked: str | None = None) -> TaskName:
    """What a data set is looked at for: the task asked for, or the one that its kind has labels of.

    A kind of both (``cityscapes``, ``scenes``), or of none, is segmentation's.

    Raises:
        UserError: there is no such task.
    """
    if asked is not None:
        return task_named(asked).name
    kind = spec.partition(":")[0]
    return "detection" if kind in BOXED_DATASETS and kind not in DATASETS else "segmentation"


__all__ = [
    "TASKS",
    "Task",
    "TaskName",
    "box_stats",
    "check_boxes",
    "export_detector",
    "is_detector",
    "label_with_detector",
    "open_boxes",
    "predict_boxes",
    "score_checkpoint",
    "task_named",
    "task_of_data",
    "what_ships",
]
