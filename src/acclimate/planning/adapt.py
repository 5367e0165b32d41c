"""From two folders to a recipe: look, choose, measure, fit into the time, and write down what was chosen and why."""

from __future__ import annotations

import copy
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.data.drafting.names import split_names
from acclimate.data.places import places_read
from acclimate.errors import UserError
from acclimate.io.faults import machine_fault
from acclimate.io.files import write_text
from acclimate.io.outputs import claim_file, claim_folder, is_untouched_draft, signed_draft
from acclimate.pipeline.recipe_run import opened
from acclimate.planning.choice import Choice, chosen, fit_for, set_steps, what_was_chosen, what_was_seen
from acclimate.planning.defaults import ADAPTED, BASE, CONTROL, FEW_STEPS, FEWEST_STEPS, LEAST, MOST, Fit
from acclimate.planning.domains import Say, described, source_domain, spec_of, target_domain
from acclimate.planning.machine import this_machine
from acclimate.planning.measuring import Costs, measured
from acclimate.planning.plan import Plan, duration, plan_from, step_seconds
from acclimate.recipe.load import Origins, Recipe, load_recipe, recipe_of
from acclimate.recipe.text import commented, leaves, read_text, to_yaml
from acclimate.stages.data import protocol_and_classes
from acclimate.stages.stage import RunData

RECIPE = "adapt.yaml"
"""The file in the run's folder that holds what was chosen."""
MARGIN = 0.9
"""The share of the time given that is planned for: machines slow down, and others use them too."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks for.

    Attributes:
        source, target: specs, or folders with a description.
        hours: for everything together; None: what the table's steps take.
        seeds: of the runs.
        weights: a file, ``none``, or None.
        classes: a protocol's name; None: the source's own classes.
        overrides: values at dotted keys that replace what is chosen.
        store: where finished stages are looked for.
    """

    source: str
    target: str
    hours: float | None = None
    seeds: Sequence[int] = (0,)
    weights: str | None = None
    classes: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    store: Path | None = None

    def words(self) -> str:
        """The options that decide the choice, as on a command line."""
        options = {"hours": self.hours, "weights": self.weights, "classes": self.classes}
        words = ["adapt", "--source", self.source, "--target", self.target]
        words += [part for key, value in options.items() if value is not None for part in (f"--{key}", str(value))]
        words += [part for key, value in self.overrides.items() for part in ("--set", f"{key}={value}")]
        return shlex.join(words) + (f" ({len(self.seeds)} seeds)" if len(self.seeds) > 1 else "")


@dataclass(frozen=True)
class Drafted:
    """A recipe that was chosen.

    Attributes:
        text: as it is written: the reasons in comments.
        recipe, origins: as :func:`acclimate.recipe.load.load_recipe` gives them.
        plan: what it will cost; None where it was drafted before and is taken as it is.
        reads: the folders and files of the data.
    """

    text: str
    recipe: Recipe
    origins: Origins
    plan: Plan | None
    reads: Sequence[Path] = ()


def drafted(wanted: Wanted, *, descriptions: Path, say: Say) -> Drafted:
    """Looks at the data and the machine, chooses, and measures what the choice costs.

    Args:
        wanted: the user's wishes.
        descriptions: how the files' names begin that get the descriptions of folders which have none: ``-source.yaml``
            and ``-target.yaml`` behind it.
        say: told what was seen and chosen, and why, line by line.

    Raises:
        UserError: data or weights cannot be had, or the time is too short for any training.
    """
    begin = time.monotonic()
    machine = this_machine()
    named = wanted.classes if wanted.classes is None or "," not in wanted.classes else None
    source_spec = spec_of(wanted.source)
    if source_spec is None:
        names = split_names(wanted.classes) if wanted.classes is not None and named is None else None
        source_spec = described(wanted.source, Path(f"{descriptions}-source.yaml"), names=names, say=say)
    elif named != wanted.classes:
        raise UserError(f"--classes with names is for a folder without a description, which {wanted.source} has")
    target_spec = spec_of(wanted.target) or described(
        wanted.target, Path(f"{descriptions}-target.yaml"), names=None, say=say
    )
    _, space = protocol_and_classes(named, source_spec)
    source = source_domain(source_spec, space=space if named else None)
    target = target_domain(target_spec, space=space)
    seen = what_was_seen(source, target, machine)
    for line in seen:
        say(line)
    fit, weights, why = fit_for(machine, wanted.weights)

    def choice_at(area: int) -> Choice:
        choice = chosen(source, target, machine, fit=fit, weights=weights, why=why, area=area)
        if named is not None:
            choice.set("protocol", named, "--classes")
        return choice

    choice, recipe, data, costs = _fitted(wanted, fit, choice_at, begin=begin, say=say)
    for line in what_was_chosen(choice, fit, why):
        say(line)
    plan = plan_from(recipe, data, costs, seeds=wanted.seeds, store=wanted.store)
    base = choice.content["stages"][BASE]["training"]["steps"]
    if wanted.hours is not None and base < FEW_STEPS:
        say(
            f"{base} steps are few: expect little; the usual {fit.base_steps} + 2 x {fit.steps} take "
            f"{duration(_usual_seconds(recipe, fit, costs, wanted))} here"
        )
    head = [f"acclimate {wanted.words()}", *seen, *what_was_chosen(choice, fit, why), "", *plan.lines()]
    text = signed_draft("".join(f"# {line}".rstrip() + "\n" for line in head) + _yaml_of(choice))
    recipe, origins = _recipe_of(choice)
    return Drafted(text, recipe, origins, plan, places_read(source.dataset, target.dataset))


def kept_draft(path: Path, wanted: Wanted) -> Drafted | None:
    """The recipe that an earlier call with the same wishes drafted there; None: none did, or with other wishes.

    Raises:
        UserError: the file was edited since, or is not acclimate's.
    """
    if not path.exists():
        return None
    text = read_text(path)
    if not is_untouched_draft(text):
        raise UserError(
            f"{path} was changed since it was drafted, and is kept: run it with `acclimate run {path} -o "
            f"{path.parent}`, or delete it to have it drafted anew"
        )
    if text.splitlines()[1] != f"# acclimate {wanted.words()}":
        return None
    recipe, origins = load_recipe(str(path))
    return Drafted(text, recipe, origins, None)


def write_draft(draft: Drafted, path: Path) -> None:
    """Writes a drafted recipe into a run's folder, over an untouched older one at most.

    Raises:
        UserError: the folder, or a file of that name in it, is not acclimate's.
    """
    claim_folder(path.parent, "run", reads=draft.reads)
    claim_file(path, "draft")
    write_text(path, draft.text)


# --- fitting into the time ---------------------------------------------------------------------------------------


def _fitted(
    wanted: Wanted, fit: Fit, choice_at: Callable[[int], Choice], *, begin: float, say: Say
) -> tuple[Choice, Recipe, RunData, Costs]:
    """The choice whose size and steps fit into the time, with what was measured at that size."""
    place = fit.usual
    tried: set[int] = set()
    while True:
        chosen_here = choice_at(fit.areas[place])
        choice = _overridden(chosen_here, wanted.overrides)
        recipe, _ = _recipe_of(choice)
        data = opened(recipe)
        tried.add(place)
        costs = _measured_or_smaller(recipe, data, smaller=place > 0)
        if costs is None:
            place -= 1
            continue
        if wanted.hours is None:
            return choice, recipe, data, costs
        spent = time.monotonic() - begin
        steps, others = _seconds_of_steps_and_others(recipe, data, costs, seeds=len(wanted.seeds))
        factor = (MARGIN * (wanted.hours * 3600 - spent) - others) / steps
        other = _better_place(fit, place, factor)
        if other not in tried and _differs(choice_at(fit.areas[other]), chosen_here):
            place = other
            continue
        if factor * fit.base_steps < FEWEST_STEPS:
            least = spent + (others + LEAST * steps) / MARGIN
            raise UserError(
                f"--hours {wanted.hours:g} is too short: looking, reading the images and scoring take "
                f"{duration(spent + others)} of it; about --hours {math.ceil(least / 36) / 100:g} is the least that is "
                "worth it on this machine"
            )
        set_steps(chosen_here, fit, min(factor, MOST))
        choice = _overridden(chosen_here, wanted.overrides)
        recipe, _ = _recipe_of(choice)
        if factor > MOST:
            say(f"{MOST:g} times the usual steps are enough, so less than --hours {wanted.hours:g} is used")
        return choice, recipe, data, costs


def _measured_or_smaller(recipe: Recipe, data: RunData, *, smaller: bool) -> Costs | None:
    """What the trainings cost; None where they do not fit into memory and there are smaller pictures to try."""
    try:
        return measured(recipe, data)
    except Exception as error:
        if smaller and machine_fault(error) is not None:
            return None
        raise


def _seconds_of_steps_and_others(recipe: Recipe, data: RunData, costs: Costs, *, seeds: int) -> tuple[float, float]:
    """What the recipe's steps take, and what does not depend on their number."""
    plan = plan_from(recipe, data, costs, seeds=range(seeds))
    steps = sum(stage.seconds or 0.0 for stage in plan.stages if stage.unit == "steps")
    return max(steps, 1e-9), plan.seconds - steps


def _better_place(fit: Fit, place: int, factor: float) -> int:
    """Where among the areas the steps would be neither too few nor too many; time grows as the area."""
    if factor < LEAST:
        fitting = [other for other in range(place) if factor * fit.areas[place] / fit.areas[other] >= LEAST]
        return max(fitting, default=0)
    if factor > MOST:
        return max(
            [other for other in range(place, len(fit.areas)) if factor * fit.areas[place] / fit.areas[other] >= 1.0],
            default=place,
        )
    return place


def _differs(one: Choice, other: Choice) -> bool:
    return bool(one.content["training"]["target_transform"] != other.content["training"]["target_transform"])


def _usual_seconds(recipe: Recipe, fit: Fit, costs: Costs, wanted: Wanted) -> float:
    """Of training with the table's own steps, at the size that was measured."""
    steps = {BASE: fit.base_steps, CONTROL: fit.steps, ADAPTED: fit.steps}
    stages: Any = recipe.stages
    seconds = sum(steps[name] * step_seconds(recipe, stages[name], costs.steps[name], costs) for name in steps)
    return float(seconds) * len(wanted.seeds)


# --- writing -----------------------------------------------------------------------------------------------------


def _recipe_of(choice: Choice) -> tuple[Recipe, Origins]:
    content = copy.deepcopy(choice.content)
    origins = dict.fromkeys(leaves(content), "acclimate adapt") | choice.reasons
    return recipe_of(content, origins, "adapt")


def _overridden(choice: Choice, overrides: Mapping[str, Any]) -> Choice:
    """The choice with the user's own values in place of what was chosen."""
    changed = Choice(copy.deepcopy(choice.content), dict(choice.reasons))
    for key, value in overrides.items():
        changed.set(key, value)
        changed.reasons.update(dict.fromkeys(leaves({key: value}), "--set"))
    return changed


def _yaml_of(choice: Choice) -> str:
    return commented(to_yaml(choice.content, short_lists=True), choice.reasons)
