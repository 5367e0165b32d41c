"""The data sets of a run: opened, checked and, where asked, without what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, class_space
from acclimate.data.registry import default_class_space, open_dataset
from acclimate.data.seen_classes import first_look
from acclimate.data.tolerance import without_bad_files
from acclimate.detection.protocols import DetectionProtocol, detection_protocol
from acclimate.detection.registry import open_boxes
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.protocols import Protocol, protocol_for, protocol_of
from acclimate.recipe.load import EvaluateStage, Recipe, Row

P = TypeVar("P", bound=Protocol | DetectionProtocol)


@dataclass(frozen=True)
class Sets:
    """The data sets of a run, opened once: :class:`Dataset` or, in detection, :class:`BoxedDataset`."""

    class_space: ClassSpace
    protocol: Protocol | DetectionProtocol
    source: Any
    target: Any
    evaluation: Any
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skipped_counts(self) -> dict[str, Any]:
        """How many files of each set were left out, for a stage's summary; empty when none."""
        counts = {name: len(lines) for name, lines in self.skipped.items() if lines}
        return {"skipped": counts} if counts else {}


def open_sets(recipe: Recipe) -> Sets:
    """Opens the data sets a recipe names.

    Raises:
        UserError: a spec is missing or its data cannot be read.
    """
    for key in ("source", "target"):
        if getattr(recipe, key) is None:
            raise UserError(
                f"recipe {recipe.name} needs a {key} data set: give --{key} KIND:PATH "
                "(`acclimate list datasets` names the kinds)"
            )
    assert recipe.source is not None
    assert recipe.target is not None
    if recipe.task == "detection":
        return _open_boxed_sets(recipe, recipe.source, recipe.target)
    protocol, space = protocol_and_classes(recipe.protocol, recipe.source)
    protocol = protocol.asking(recipe.inference, size=recipe.prediction_size())
    for stage in recipe.stages.values():
        if isinstance(stage, EvaluateStage):
            for row in stage.rows():
                protocol_of_row(protocol, row)  # a row that contradicts the protocol is found now
    evaluation, tolerant = None, recipe.bad_data == "skip"
    if any(isinstance(stage, EvaluateStage) for stage in recipe.stages.values()):
        evaluation = open_dataset(
            recipe.evaluation or recipe.target, split=recipe.evaluation_split, class_space=space, tolerant=tolerant
        )
        if not evaluation.has_labels:
            raise UserError(
                f"{evaluation.spec} ({evaluation.split}) has no labels, so recipe {recipe.name} cannot score on it: "
                "set evaluation or evaluation_split to labelled images, or take a recipe without an evaluate stage, "
                "such as adapt"
            )
        first_look(evaluation, tolerant=tolerant)  # rather than after hours of training
    source = open_dataset(recipe.source, split=recipe.source_split, class_space=space, tolerant=tolerant)
    if source.has_labels:
        first_look(source, tolerant=tolerant)
    return Sets(
        class_space=space,
        protocol=protocol,
        source=source,
        target=open_dataset(recipe.target, split=recipe.target_split, class_space=space, tolerant=tolerant),
        evaluation=evaluation,
    )


def _open_boxed_sets(recipe: Recipe, source: str, target: str) -> Sets:
    """The sets of a detection recipe; the source's own classes are those that count."""
    opened = open_boxes(source, split=recipe.source_split)
    space = opened.class_space
    evaluation = None
    if any(isinstance(stage, EvaluateStage) for stage in recipe.stages.values()):
        evaluation = open_boxes(recipe.evaluation or target, split=recipe.evaluation_split, class_space=space)
        if not evaluation.has_labels:
            raise UserError(f"{evaluation.spec} ({evaluation.split}) has images without boxes: it cannot be scored on")
        evaluation.boxes(0)
    return Sets(
        class_space=space,
        protocol=detection_protocol(recipe.protocol),
        source=opened,
        target=open_boxes(target, split=recipe.target_split, class_space=space),
        evaluation=evaluation,
    )


def readable(sets: Sets, *, cap: float, folder: Path) -> Sets:
    """The sets without what cannot be read."""
    parts: dict[str, Any] = {}
    skipped: dict[str, list[str]] = {}
    for name in ("source", "target", "evaluation"):
        dataset: Any = getattr(sets, name)
        if dataset is not None:
            parts[name], skipped[name] = without_bad_files(dataset, cap=cap, folder=folder)
    return replace(sets, **parts, skipped=skipped)


def protocol_and_classes(name: str | None, spec: str) -> tuple[Protocol, ClassSpace]:
    """The protocol of that name and its class space; without a name, those of the data set itself."""
    if name is None:
        space = default_class_space(spec)
        return protocol_of(space), space
    protocol = protocol_for(name, spec)
    if protocol.class_space in CLASS_SPACES:
        return protocol, class_space(protocol.class_space)
    return protocol, default_class_space(spec)


def protocol_of_row(protocol: P, row: Row) -> P:
    """The run's protocol, with the row's own way to average an ensemble."""
    if row.average is None or isinstance(protocol, DetectionProtocol):
        return protocol
    return cast("P", protocol.asking(Inference(average=row.average)))
