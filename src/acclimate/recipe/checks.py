"""What is wrong with a recipe: every problem is found before one message tells them all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from acclimate.errors import UserError, nearest
from acclimate.io.validation import validated
from acclimate.recipe.schema import VERBS, Recipe
from acclimate.stages.checkpoint import CheckpointStage
from acclimate.stages.evaluate import EvaluateStage, ScoredRow
from acclimate.stages.label import LabelStage
from acclimate.stages.stage import StageSettings
from acclimate.stages.train import TrainStage
from acclimate.stages.translate import TranslateStage
from acclimate.tasks import TASKS, Task, task_named
from acclimate.translation.settings import COLOUR_MATCHES

T = TypeVar("T")


def checked(content: dict[str, Any], name: str) -> Recipe:
    """The recipe; every problem is collected before one message tells them all."""
    where = f"recipe {name}"
    problems: list[str] = []
    broken: list[str] = []

    def collected(check: Callable[..., T], *arguments: Any, prefix: str = "", **keywords: Any) -> T | None:
        try:
            return check(*arguments, **keywords)
        except UserError as error:
            problems.append(prefix + str(error).removeprefix(f"{where}: "))
            return None

    given = content.get("stages")
    if isinstance(given, dict):
        task = collected(task_named, content.get("task", "segmentation")) or TASKS["segmentation"]
        stages = {key: collected(_stage, name, str(key), value, task) for key, value in given.items()}
        content = {**content, "stages": {key: stage for key, stage in stages.items() if stage is not None}}
        broken = [str(key) for key, stage in stages.items() if stage is None]
        if broken and not content["stages"]:
            raise _all_problems(name, problems)
    recipe: Recipe | None = collected(validated, Recipe, content, where)
    if recipe is None:  # look for further problems in the part that is understood
        with contextlib.suppress(UserError):
            known = {key: value for key, value in content.items() if key in Recipe.model_fields}
            recipe = validated(Recipe, known, where)
    if recipe is not None:
        problems.extend(_reference_problems(recipe, broken=broken))
        task = task_named(recipe.task)
        shared = collected(validated, task.training, recipe.training, f"{where}: training")
        for key, stage in recipe.stages.items():
            at = f"stages.{key}."
            if isinstance(stage, TranslateStage):
                collected(recipe.translation_settings, stage, where=at)
            if isinstance(stage, TrainStage):
                collected(task.options, stage.train, stage.options, prefix=f"{at}options: ")
                if shared is not None:
                    collected(recipe.training_settings, stage, where=at)
                if "name" in {**recipe.network, **stage.network} or recipe.checkpoint_under(stage) is None:
                    network = collected(recipe.network_config, stage, where=at)  # else the run asks the checkpoint
                    problems.extend(_network_problems(key, stage, network, task))
    if recipe is None or problems:
        raise _all_problems(name, problems)
    return recipe


def _stage_shape_problems(name: str, value: Any) -> list[str]:
    if not _can_name_a_folder(name):
        return [f"stages: {name!r} cannot name a folder; leave out / and \\\\"]
    if not isinstance(value, dict):
        return [f"stages.{name} must be a mapping with one of the verbs {', '.join(VERBS)}"]
    verbs = [verb for verb in VERBS if verb in value]
    if len(verbs) == 1:
        return []
    hint = "".join(nearest(str(key), VERBS) for key in value)
    found = "has none" if not verbs else f"has {' and '.join(verbs)}"
    return [f"stages.{name} needs exactly one of the verbs {', '.join(VERBS)}; it {found}{hint}"]


def _stage(recipe: str, name: str, value: Any, task: Task) -> StageSettings:
    if problems := _stage_shape_problems(name, value):
        raise _all_problems(recipe, problems)
    verb = next(verb for verb in VERBS if verb in value)
    if verb not in task.verbs:
        raise UserError(f"recipe {recipe}: stages.{name}: {task.name} has no stage {verb!r}; remove the stage")
    stage = validated(VERBS[verb], value, f"recipe {recipe}: stages.{name}")
    if isinstance(stage, TrainStage):
        try:
            task.method(stage.train)
        except UserError as error:
            raise UserError(f"recipe {recipe}: stages.{name}.train: {error}") from None
    return stage


def _reference_problems(recipe: Recipe, *, broken: Collection[str]) -> list[str]:
    """What is wrong between stages; those in ``broken`` have been complained about already."""
    problems: list[str] = []
    earlier: dict[str, str] = {}

    def needs(stage: str, key: str, name: str, verb: str) -> None:
        if name in broken:
            return
        if name not in earlier:
            problems.append(f"stages.{stage}.{key}: no earlier stage is called {name!r}{nearest(name, earlier)}")
        elif earlier[name] != verb:
            problems.append(f"stages.{stage}.{key}: {name!r} is a {earlier[name]} stage; a {verb} stage is needed")

    if recipe.task == "detection" and recipe.bad_data == "skip":
        problems.append("bad_data: detection stops at files that cannot be read; remove the key")
    for name, stage in recipe.stages.items():
        if isinstance(stage, CheckpointStage):
            earlier[name] = "train"  # what it leaves is what a train stage leaves
        elif isinstance(stage, TrainStage):
            if stage.start is not None:
                needs(name, "start", stage.start, "train")
            if stage.source is not None:
                needs(name, "source", stage.source, "translate")
                if task_named(recipe.task).method(stage.train).trains_on != "source":
                    problems.append(f"stages.{name}.source: {stage.train} sees no source; remove the key")
            if stage.easy_to_hard is not None:
                problems.extend(_split_problems(recipe, name, stage))
                needs(name, "easy_to_hard", stage.easy_to_hard, "label")
            if stage.pseudo_labels is not None:
                needs(name, "pseudo_labels", stage.pseudo_labels, "label")
                if task_named(recipe.task).method(stage.train).trains_on == "target":
                    problems.append(
                        f"stages.{name}.pseudo_labels: {stage.train} trains on the target's own labels; remove the key"
                    )
            elif task_named(recipe.task).method(stage.train).trains_on == "pseudo-labels":
                problems.append(
                    f"stages.{name}: {stage.train} trains on pseudo-labels alone; "
                    "set pseudo_labels to an earlier label stage"
                )
            earlier[name] = "train"
        elif isinstance(stage, TranslateStage):
            if stage.source is not None:
                needs(name, "source", stage.source, "translate")
            if stage.perceptual is not None:
                needs(name, "perceptual", stage.perceptual, "train")
            unread = [key for key in ("options", "training", "writing", "perceptual") if getattr(stage, key)]
            if stage.translate in COLOUR_MATCHES and unread:
                problems.append(f"stages.{name}.{unread[0]}: a colour match has no such setting; remove the key")
            earlier[name] = "translate"
        elif isinstance(stage, LabelStage):
            for model in stage.models():
                needs(name, "label", model, "train")
            earlier[name] = "label"
        elif isinstance(stage, EvaluateStage):
            for row in stage.rows():
                for model in row.of:
                    needs(name, "evaluate", model, "train")
            problems.extend(_row_problems(name, stage.rows()))
            if recipe.task == "detection" and stage.boundary_width:
                problems.append(f"stages.{name}.boundary_width: boxes have no class boundaries; remove the key")
            if recipe.task == "detection" and any(len(row.of) > 1 for row in stage.rows()):
                problems.append(f"stages.{name}.evaluate: detectors are scored one by one; give each a row of its own")
            earlier[name] = "evaluate"
    return problems


def _split_problems(recipe: Recipe, name: str, stage: TrainStage) -> list[str]:
    at, problems = f"stages.{name}.easy_to_hard", list[str]()
    if stage.source is not None or stage.pseudo_labels is not None:
        problems.append(f"{at}: easy images take the source's place; remove source and pseudo_labels")
    if task_named(recipe.task).method(stage.train).trains_on != "source":
        problems.append(f"{at}: {stage.train} sees no source whose place easy images could take; remove the key")
    labels = recipe.stages.get(str(stage.easy_to_hard))
    if isinstance(labels, LabelStage) and labels.split is None:
        problems.append(f"{at}: {stage.easy_to_hard} does not split its images; give it split: {{}}")
    return problems


def _network_problems(name: str, stage: TrainStage, network: Any, task: Task) -> list[str]:
    wanted = {} if network is None else task.method(stage.train).network_options
    options = getattr(network, "options", network)
    return [
        f"stages.{name}: {stage.train} needs a network with {key}: {str(value).lower()}; set it in network, and in the "
        "network of the stage it starts from"
        for key, value in wanted.items()
        if getattr(options, key, None) != value
    ]


def _row_problems(stage: str, rows: Sequence[ScoredRow]) -> list[str]:
    problems: list[str] = []
    names = [row.name for row in rows]
    for row in rows:
        if not _can_name_a_folder(row.name):
            problems.append(f"stages.{stage}.evaluate: {row.name!r} cannot name a folder; leave out / and \\\\")
        if row.weights is not None and len(row.weights) != len(row.of):
            problems.append(
                f"stages.{stage}.evaluate: row {row.name!r} has {len(row.weights)} weights for {len(row.of)} models"
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"stages.{stage}.evaluate: two rows are called {name!r}; give one of them another name")
    return problems


def _can_name_a_folder(name: str) -> bool:
    return 0 < len(name) <= 100 and name.isprintable() and not set(name) & set("/\\")


def _all_problems(name: str, problems: Sequence[str]) -> UserError:
    lines = list(dict.fromkeys(problems))
    return UserError(f"recipe {name}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"recipe {name}:", *lines]))
