"""What is wrong with a recipe: every problem is found before one message tells them all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from acclimate.errors import UserError, nearest
from acclimate.io.validation import validated
from acclimate.recipe.schema import STAGES, VERBS, Recipe
from acclimate.stages.stage import StageSettings, Written, can_name_a_folder
from acclimate.tasks import TASKS, Task, task_named

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
        task = task_named(recipe.task)
        if task.name == "detection" and recipe.bad_data == "skip":
            problems.append("bad_data: detection stops at files that cannot be read; remove the key")
        training = collected(validated, task.training, recipe.training, f"{where}: training")
        leaves: dict[str, str] = {}
        for key, stage in recipe.stages.items():
            problems.extend(_missing(key, stage, leaves, broken=broken))
            problems.extend(stage.problems(Written(recipe, task, key, training_fits=training is not None)))
            leaves[key] = stage.leaves or stage.verb
    if recipe is None or problems:
        raise _all_problems(name, problems)
    return recipe


def _stage_shape_problems(name: str, value: Any) -> list[str]:
    if not can_name_a_folder(name):
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
    if verb not in STAGES[task.name]:
        raise UserError(f"recipe {recipe}: stages.{name}: {task.name} has no stage {verb!r}; remove the stage")
    stage = validated(STAGES[task.name][verb], value, f"recipe {recipe}: stages.{name}")
    try:
        stage.expect_known(task)
    except UserError as error:
        raise UserError(f"recipe {recipe}: stages.{name}.{error}") from None
    return stage


def _missing(name: str, stage: StageSettings, leaves: Mapping[str, str], *, broken: Collection[str]) -> Iterator[str]:
    """Earlier stages that are not there, or not of the verb that is needed.

    Args:
        name, stage: what takes them.
        leaves: earlier stage -> the verb whose result it leaves.
        broken: stages that have been complained about already.
    """
    for key, earlier, verb in stage.made_from():
        if earlier in broken:
            continue
        if earlier not in leaves:
            yield f"stages.{name}.{key}: no earlier stage is called {earlier!r}{nearest(earlier, leaves)}"
        elif leaves[earlier] != verb:
            yield f"stages.{name}.{key}: {earlier!r} is a {leaves[earlier]} stage; a {verb} stage is needed"


def _all_problems(name: str, problems: Sequence[str]) -> UserError:
    lines = list(dict.fromkeys(problems))
    return UserError(f"recipe {name}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"recipe {name}:", *lines]))
