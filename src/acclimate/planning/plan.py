"""A plan before hours are spent: stages, steps, minutes, memory and disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acclimate.data.content import keep_digests_in
from acclimate.errors import UserError
from acclimate.evaluation.scores import ORACLE
from acclimate.io.faults import machine_fault
from acclimate.pipeline.recipe_run import RecipeRun, opened
from acclimate.pipeline.store import Store
from acclimate.planning.machine import machine_in_words
from acclimate.planning.measuring import Costs, StepCost, measured
from acclimate.recipe.load import EvaluateStage, LabelBoxesStage, LabelStage, Recipe, TrainStage, TranslateStage
from acclimate.stages.stage import RunData
from acclimate.tasks import task_named
from acclimate.training.checkpoint import KEPT

MODELS_BESIDE = 1.1
"""Logs, histories and pictures, relative to the model of a stage."""


@dataclass(frozen=True)
class PlannedStage:
    """One line of a plan.

    Attributes:
        name, what: of the stage, and what it does.
        count: steps of a training, images of other verbs.
        unit: ``steps`` or ``images``.
        seconds: for all seeds; None where it was not measured.
        finished: how many of the seeds are done already.
    """

    name: str
    what: str
    count: int
    unit: str
    seconds: float | None
    finished: int = 0


@dataclass(frozen=True)
class Plan:
    """What a run will do and cost.

    Attributes:
        stages: in order; the copying of images comes first.
        seeds: how many.
        machine: in words.
        peak_memory_mb, disk_bytes: 0 where nothing was measured.
        unknown: why nothing was measured.
    """

    stages: list[PlannedStage]
    seeds: int
    machine: str
    peak_memory_mb: float = 0.0
    disk_bytes: int = 0
    unknown: str = ""
    remarks: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of everything that was measured and is not done yet."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    def lines(self) -> list[str]:
        """The plan as text, at most 80 characters wide but for reasons and names."""
        wide = max([len(stage.name) for stage in self.stages] + [5])
        does = max([len(stage.what) for stage in self.stages] + [4])
        lines = [f"{'stage':{wide}}  {'does':{does}}  {'how much':>14}  {'time':>9}"]
        for stage in self.stages:
            amount = f"{stage.count:,} {stage.unit}"
            if stage.finished == self.seeds:
                spent = "done"
            else:
                spent = "?" if stage.seconds is None else duration(stage.seconds)
            lines.append(f"{stage.name:{wide}}  {stage.what:{does}}  {amount:>14}  {spent:>9}")
        seeds = f", {self.seeds} seeds" if self.seeds > 1 else ""
        if self.unknown:
            lines.append(f"minutes, memory and disk are not known: {self.unknown}")
        else:
            least = "at least " if any(stage.seconds is None for stage in self.stages) else "about "
            lines.append(f"in all {least}{duration(self.seconds)} on {self.machine}{seeds}")
            lines.append(
                f"peak memory about {self.peak_memory_mb / 1024:.1f} GB, disk about {self.disk_bytes / 2**30:.1f} GB"
            )
        return [*lines, *self.remarks]


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def plan_of(recipe: Recipe, *, seeds: Sequence[int], store: Path | None = None) -> Plan:
    """What running a recipe would take; where data or weights cannot be had, without minutes.

    Args:
        recipe: any.
        seeds: as for a run.
        store: where finished stages would be found.
    """
    try:
        if store is not None and store.is_dir():
            keep_digests_in(store / "cache")
        data = opened(recipe)
        costs = measured(recipe, data)
    except Exception as error:
        told = error if isinstance(error, UserError) else machine_fault(error)
        if told is None:
            raise
        stages = [
            PlannedStage(name, f"train {stage.train}", recipe.training_settings(stage).steps, "steps", None)
            if isinstance(stage, TrainStage)
            else PlannedStage(name, stage.verb, 1, "stage", None)
            for name, stage in recipe.stages.items()
        ]
        return Plan(stages, len(seeds), machine_in_words(), unknown=str(told))
    return plan_from(recipe, data, costs, seeds=seeds, store=store)


def plan_from(recipe: Recipe, data: RunData, costs: Costs, *, seeds: Sequence[int], store: Path | None = None) -> Plan:
    """The plan of a recipe whose trainings are measured."""
    finished = _finished(recipe, data, seeds, store)
    stages = [_copies(recipe, data, costs)]
    for name in recipe.stages:
        done = finished.get(name, 0)
        stages.append(_planned(name, recipe, data, costs, times=len(seeds) - done, done=done))
    stages.append(_doctor(recipe, data, costs, times=len(seeds)))
    return Plan(
        [line for line in stages if line is not None],
        len(seeds),
        machine_in_words(),
        peak_memory_mb=max((cost.peak_memory_mb for cost in costs.steps.values()), default=0.0),
        disk_bytes=_disk(recipe, data, costs, seeds=len(seeds)),
    )


def _planned(name: str, recipe: Recipe, data: RunData, costs: Costs, *, times: int, done: int) -> PlannedStage:
    """The line of a stage that is still to be done for so many seeds."""
    stage, each = recipe.stages[name], _predicting(costs)
    if isinstance(stage, TrainStage):
        steps = recipe.training_settings(stage).steps
        seconds = times * steps * step_seconds(recipe, stage, costs.steps[name], costs)
        return PlannedStage(name, f"train {stage.train}", steps, "steps", seconds, done)
    if isinstance(stage, EvaluateStage):
        models = len(stage.rows())
        looks = models * (len(data.evaluation) + stage.label_free + 2 * stage.pictures)
        images = models * len(data.evaluation)
        return PlannedStage(name, f"evaluate {models} models", images, "images", each and times * looks * each, done)
    if isinstance(stage, LabelStage | LabelBoxesStage):
        images = len(data.target)
        # one pass that keeps scores, and one that writes what was selected; boxes are written in the first
        passes = 2 if isinstance(stage, LabelStage) else 1
        return PlannedStage(name, "label", images, "images", each and passes * times * images * each, done)
    if isinstance(stage, TranslateStage):
        return PlannedStage(name, f"translate {stage.translate}", len(data.source), "images", None, done)
    return PlannedStage(name, stage.verb, 1, "file", 0.0, done)


def _doctor(recipe: Recipe, data: RunData, costs: Costs, *, times: int) -> PlannedStage | None:
    """What the doctor looks at after each training."""
    if not recipe.examine or not task_named(recipe.task).examined:
        return None
    models = sum(not _is_oracle(recipe, name) for name in costs.steps)
    images, each = 2 * models * min(recipe.examine, len(data.target)), _predicting(costs)
    return PlannedStage("(doctor)", f"look at {models} models", images, "images", each and times * images * each)


def _is_oracle(recipe: Recipe, name: str) -> bool:
    stage = recipe.stages[name]
    return isinstance(stage, TrainStage) and stage.train == ORACLE


def step_seconds(recipe: Recipe, stage: TrainStage, cost: StepCost, costs: Costs) -> float:
    """Seconds of a step with the reading of its images, where no copy of them is kept."""
    settings = recipe.training_settings(stage)
    if settings.cache:
        return cost.seconds
    target = settings.target_batch_size or settings.batch_size
    reading = settings.batch_size * costs.reading["source"] + target * costs.reading["target"]
    return max(cost.seconds, reading / settings.workers) if settings.workers else cost.seconds + reading


def _copies(recipe: Recipe, data: RunData, costs: Costs) -> PlannedStage | None:
    """The making of resized copies, before the first step."""
    kept = [recipe.training_settings(stage) for stage in recipe.stages.values() if isinstance(stage, TrainStage)]
    if not any(settings.cache for settings in kept):
        return None
    threads = min(8, os.cpu_count() or 1)
    seconds = sum(len(getattr(data, which)) * costs.reading[which] for which in ("source", "target")) / threads
    return PlannedStage("(images)", "read, resize", len(data.source) + len(data.target), "images", seconds)


def _predicting(costs: Costs) -> float | None:
    found = [cost.predict_seconds for cost in costs.steps.values() if cost.predict_seconds is not None]
    return max(found) if found else None


def _disk(recipe: Recipe, data: RunData, costs: Costs, *, seeds: int) -> int:
    """Bytes that a run leaves and needs on the way: models, the states of the training in progress, resized copies."""
    models = sum(cost.model_bytes for cost in costs.steps.values())
    states = max((cost.state_bytes for cost in costs.steps.values()), default=0)
    copies: dict[tuple[object, ...], int] = {}
    for stage in recipe.stages.values():
        if isinstance(stage, TrainStage) and (settings := recipe.training_settings(stage)).cache:
            for which, transform, channels in (
                ("source", settings.source_transform, 4),
                ("target", settings.target_transform, 3),
            ):
                if transform.size is not None:
                    width, height = transform.size
                    copies[which, transform.size] = len(getattr(data, which)) * width * height * channels
    # the network's teacher or discriminator stays beside its model
    return round(MODELS_BESIDE * seeds * 2 * models + (KEPT + 1) * states + sum(copies.values()))


def _finished(recipe: Recipe, data: RunData, seeds: Sequence[int], store: Path | None) -> dict[str, int]:
    """Of how many seeds each stage is done already."""
    found: dict[str, int] = {}
    if store is None or not store.is_dir():
        return found
    for seed in seeds:
        run = RecipeRun(recipe, data, seed, Store(store), None, store, "")
        keys: dict[str, list[str]] = {}
        for name, _, key in run.expected():
            keys.setdefault(name, []).append(key)
        for name, of_stage in keys.items():
            found[name] = found.get(name, 0) + all(run.store.has(key) for key in of_stage)
    return found
