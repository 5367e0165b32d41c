"""What a recipe can be about: the methods, networks and settings of segmentation and of detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from acclimate.detection.config import DetectorConfig
from acclimate.detection.methods import DETECTION_METHODS
from acclimate.detection.networks import check_detector
from acclimate.detection.settings import DetectionTraining
from acclimate.errors import unknown
from acclimate.methods import METHODS, checked_options
from acclimate.methods.trainable import Trainable
from acclimate.models.config import NetworkConfig
from acclimate.training.settings import TrainingSettings

TaskName = Literal["segmentation", "detection"]


@dataclass(frozen=True)
class Task:
    """What recipes of one task consist of.

    Attributes:
        name: how a recipe names it.
        methods: by name.
        network: the model of the recipe's ``network``.
        check_network: raises UserError for a network that does not exist or lacks an option.
        training: the model of the recipe's ``training``.
        verbs: the stages it has.
    """

    name: TaskName
    methods: Mapping[str, type[Trainable[Any]]]
    network: type[BaseModel]
    check_network: Callable[[Any], object]
    training: type[TrainingSettings]
    verbs: tuple[str, ...]

    def method(self, name: str) -> type[Trainable[Any]]:
        """The method of that name.

        Raises:
            UserError: this task has none.
        """
        if name not in self.methods:
            raise unknown("method" if self.name == "segmentation" else f"{self.name} method", name, self.methods)
        return self.methods[name]

    def options(self, name: str, values: dict[str, Any]) -> BaseModel:
        """The validated options of a method.

        Raises:
            UserError: options are unknown or out of their range; all are listed.
        """
        return checked_options(name, self.method(name).Options, values)


TASKS: dict[str, Task] = {
    "segmentation": Task(
        "segmentation",
        METHODS,
        NetworkConfig,
        lambda config: None,
        TrainingSettings,
        ("checkpoint", "train", "translate", "label", "evaluate"),
    ),
    "detection": Task(
        "detection",
        DETECTION_METHODS,
        DetectorConfig,
        check_detector,
        DetectionTraining,
        ("checkpoint", "train", "evaluate"),
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
