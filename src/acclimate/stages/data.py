"""The data sets of a run: opened, checked and, where asked, without what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, class_space
from acclimate.data.cut import without_margin
from acclimate.data.registry import default_class_space, open_dataset, splits_of
from acclimate.data.seen_classes import first_look
from acclimate.data.tolerance import without_bad_files
from acclimate.errors import UserError
from acclimate.evaluation.protocols import Protocol, protocol_for, protocol_of
from acclimate.stages.evaluate import EvaluateStage
from acclimate.stages.stage import RunData


def named_sets(recipe: Any) -> tuple[str, str]:
    """The specs of source and target.

    Raises:
        UserError: one is missing.
    """
    for key in ("source", "target"):
        if getattr(recipe, key) is None:
            raise UserError(
                f"recipe {recipe.name} needs a {key} data set: give --{key} KIND:PATH "
                "(`acclimate list datasets` names the kinds)"
            )
    return recipe.source, recipe.target


def open_sets(recipe: Any, evaluated: Sequence[EvaluateStage]) -> RunData:
    """Opens the data sets a segmentation recipe names.

    Args:
        recipe: see :class:`acclimate.recipe.schema.Recipe`.
        evaluated: its stages that score.

    Raises:
        UserError: a spec is missing or its data cannot be read.
    """
    source_spec, target_spec = named_sets(recipe)
    protocol, space = protocol_and_classes(recipe.protocol, source_spec)
    protocol = protocol.asking(recipe.inference, size=recipe.prediction_size())
    for stage in evaluated:
        for row in stage.rows():
            protocol.averaging(row.average)  # a row that contradicts the protocol is found now
    evaluation, tolerant = None, recipe.bad_data == "skip"
    if evaluated:
        scored, split = recipe.evaluation or target_spec, recipe.evaluation_split
        _expect_split(scored, split, recipe.name)
        evaluation = open_dataset(scored, split=split, class_space=space, tolerant=tolerant)
        if not evaluation.has_labels:
            raise UserError(f"{evaluation.spec} ({split}) has no labels, {_no_score(recipe.name, split)}")
        first_look(evaluation, tolerant=tolerant)  # rather than after hours of training
    source = open_dataset(source_spec, split=recipe.source_split, class_space=space, tolerant=tolerant)
    if source.has_labels:
        first_look(source, tolerant=tolerant)
    return RunData(
        class_space=space,
        protocol=protocol,
        source=without_margin(source, recipe.source_cut),
        target=open_dataset(target_spec, split=recipe.target_split, class_space=space, tolerant=tolerant),
        evaluation=evaluation,
    )


def _expect_split(spec: str, split: str, recipe: str) -> None:
    """Says what to do about a target without a split to score on, which is what a user's own usually is."""
    splits = splits_of(spec)
    if splits is not None and split not in splits:
        raise UserError(f"{spec} has no split {split!r} (it has {', '.join(splits)}), {_no_score(recipe, split)}")


def _no_score(recipe: str, split: str) -> str:
    return (
        f"so recipe {recipe} cannot score on it: name a few labelled pictures as {split} under images and labels of "
        "its dataset.yaml, or other labelled data with --set evaluation=KIND:PATH or --set evaluation_split=NAME; "
        "without any labels, leave the evaluate stage out, as the recipe adapt does, and look at predictions"
    )


def readable(data: RunData, *, cap: float, folder: Path) -> RunData:
    """The sets without what cannot be read."""
    parts: dict[str, Any] = {}
    skipped: dict[str, list[str]] = {}
    for name in ("source", "target", "evaluation"):
        dataset: Any = getattr(data, name)
        if dataset is not None:
            parts[name], skipped[name] = without_bad_files(dataset, cap=cap, folder=folder)
    return replace(data, **parts, skipped=skipped)


def protocol_and_classes(
    name: str | None, spec: str, *, classes: ClassSpace | None = None
) -> tuple[Protocol, ClassSpace]:
    """The protocol of that name and its class space.

    Args:
        name: None: the protocol of the classes.
        spec: the data set, whose own classes count where nothing else says which.
        classes: those of a checkpoint, which count before the data's.
    """
    if name is None:
        space = default_class_space(spec) if classes is None else classes
        known = class_space(space.name) if space.name in CLASS_SPACES else space
        return protocol_of(space), known if known.classes == space.classes else space
    protocol = protocol_for(name, spec)
    if protocol.class_space in CLASS_SPACES:
        return protocol, class_space(protocol.class_space)
    return protocol, default_class_space(spec)
