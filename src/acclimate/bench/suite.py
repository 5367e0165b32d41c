"""Suites: lists of recipes, rows and seeds that are measured side by side; read, validated and spread out into jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from acclimate.errors import UserError, nearest, unknown
from acclimate.io.files import hash_of
from acclimate.io.validation import validated
from acclimate.recipe.load import (
    EvaluateStage,
    Origins,
    Recipe,
    explained,
    load_recipe,
)
from acclimate.recipe.text import parsed, read_text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Entry(_Strict):
    """One recipe of a suite.

    Attributes:
        recipe: a shipped recipe's name, or a YAML file beside the suite's.
        name: what its folder and, where names clash, its rows are called; None: the recipe's own name.
        rows: which of the recipe's rows; stages that only other rows need are left out. None: all.
        mandatory: run before the entries that are not.
        seeds: None: the suite's.
        set: overrides of dotted keys of the recipe.
        vary: one dotted key and the values it takes, an entry for each.
    """

    recipe: str
    name: str | None = None
    rows: list[str] | None = Field(default=None, min_length=1)
    mandatory: bool = False
    seeds: list[NonNegativeInt] | None = Field(default=None, min_length=1)
    overrides: dict[str, Any] = Field(default={}, alias="set")
    vary: dict[str, list[Any]] = Field(default={}, max_length=1)


class Suite(_Strict):
    """What ``acclimate bench`` measures side by side.

    Attributes:
        name, about: what it is, in a word and in a sentence.
        seeds: of every entry that names none.
        set: overrides of dotted keys, for every entry.
        entries: recipes and rows.
    """

    name: str
    about: str = ""
    seeds: list[NonNegativeInt] = Field(default=[0], min_length=1)
    overrides: dict[str, Any] = Field(default={}, alias="set")
    entries: list[Entry] = Field(min_length=1)


@dataclass(frozen=True)
class Planned:
    """One entry of a suite with its recipe resolved.

    Attributes:
        name: its folder.
        recipe, origins: as :func:`load_recipe` gives them, only the wanted rows left.
        mandatory: see :class:`Entry`.
        seeds: one run each.
        varied: the key and value that a ``vary`` gave it.
    """

    name: str
    recipe: Recipe
    origins: Origins
    mandatory: bool
    seeds: tuple[int, ...]
    varied: tuple[str, Any] | None = None

    def text(self) -> str:
        """The resolved recipe as a run writes it: results of another text are another recipe's."""
        return explained(self.recipe, self.origins)


@dataclass(frozen=True)
class Plan:
    """A suite with everything resolved."""

    suite: Suite
    entries: tuple[Planned, ...]
    jobs: tuple[tuple[Planned, int], ...] = field(default=())
    """(entry, seed) in the order of running: for each seed all entries, so that partial results are whole seeds."""


def suite_names() -> list[str]:
    """The suites that ship with acclimate."""
    folder = resources.files("acclimate") / "suites"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_suite(name_or_path: str) -> tuple[Suite, Path | None]:
    """A suite by shipped name or by path, and the folder that its recipe files are looked up in.

    Raises:
        UserError: the suite does not exist, is not YAML or has problems; all of them are listed in one message.
    """
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        if not path.is_file():
            raise UserError(f"there is no suite file {path}; `acclimate list suites` names those that ship")
        text, beside = read_text(path), path.parent
    else:
        if name_or_path not in suite_names():
            raise unknown("suite", name_or_path, suite_names())
        file = resources.files("acclimate") / "suites" / f"{name_or_path}.yaml"
        text, beside = file.read_text(encoding="utf-8"), None
    where = f"suite {name_or_path}"
    suite: Suite = validated(Suite, parsed(text, where), where)
    return suite, beside


def plan(name_or_path: str, *, seeds: Sequence[int] | None = None, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Every recipe of a suite resolved and every job in order.

    Args:
        name_or_path: of the suite.
        seeds: in place of those in the suite.
        overrides: dotted keys of every recipe; they win over the suite's.

    Raises:
        UserError: the suite or a recipe has problems, or two entries have the same name.
    """
    suite, beside = load_suite(name_or_path)
    entries: list[Planned] = []
    for entry in suite.entries:
        for single, varied in _spread_out(suite, entry):
            entries.append(_planned(suite, single, varied, seeds, overrides or {}, beside))
    names = [entry.name for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"suite {suite.name}: two entries are called {name!r}; give one of them another name")
    entries.sort(key=lambda entry: not entry.mandatory)
    every_seed = dict.fromkeys(seed for entry in entries for seed in entry.seeds)
    jobs = tuple((entry, seed) for seed in every_seed for entry in entries if seed in entry.seeds)
    return Plan(suite, tuple(entries), jobs)


def _spread_out(suite: Suite, entry: Entry) -> list[tuple[Entry, tuple[str, Any] | None]]:
    if not entry.vary:
        return [(entry, None)]
    key, values = next(iter(entry.vary.items()))
    if not values:
        raise UserError(f"suite {suite.name}: vary of {key} has no values; list one at least")
    name = entry.name or f"{entry.recipe}-{key.rpartition('.')[2]}"
    return [
        (
            entry.model_copy(update={"name": f"{name}={value}", "overrides": {**entry.overrides, key: value}}),
            (key, value),
        )
        for value in values
    ]


def _planned(
    suite: Suite,
    entry: Entry,
    varied: tuple[str, Any] | None,
    seeds: Sequence[int] | None,
    overrides: Mapping[str, Any],
    beside: Path | None,
) -> Planned:
    name = entry.name or Path(entry.recipe).stem
    if set(name) & set("/\\") or name.startswith("."):
        raise UserError(f"suite {suite.name}: {name!r} cannot name a folder; leave out / and \\ and a leading dot")
    place = entry.recipe
    if beside is not None and place.endswith((".yaml", ".yml")):
        place = str(beside / place)
    own = {**suite.overrides, **entry.overrides}
    try:
        recipe, origins = load_recipe(place, overrides={**own, **overrides})
    except UserError as error:
        raise UserError(f"suite {suite.name}: entry {name}: {error}") from error
    for key in own:
        origins.update({known: f"suite {suite.name}" for known in origins if known == key and key not in overrides})
    if entry.rows is not None:
        recipe = only_rows(recipe, entry.rows, where=f"suite {suite.name}: entry {name}")
    origins = {key: value for key, value in origins.items() if _kept(key, recipe)}
    return Planned(name, recipe, origins, entry.mandatory, tuple(seeds or entry.seeds or suite.seeds), varied)


def _kept(key: str, recipe: Recipe) -> bool:
    """Whether the stage that a dotted key belongs to is still there."""
    return not key.startswith("stages.") or any(key.startswith(f"stages.{stage}.") for stage in recipe.stages)


def only_rows(recipe: Recipe, rows: Sequence[str], *, where: str = "") -> Recipe:
    """The recipe with only those rows of results and the stages that they are made from.

    Raises:
        UserError: the recipe has no such row.
    """
    where = where or f"recipe {recipe.name}"
    evaluated = {name: stage for name, stage in recipe.stages.items() if isinstance(stage, EvaluateStage)}
    known = [row.name for stage in evaluated.values() for row in stage.rows()]
    for row in rows:
        if row not in known:
            raise UserError(f"{where}: recipe {recipe.name} has no row {row!r}{nearest(row, known)}")
    kept = {
        name: stage.model_copy(update={"evaluate": [row for row in stage.rows() if row.name in rows]})
        for name, stage in evaluated.items()
    }
    kept = {name: stage for name, stage in kept.items() if stage.evaluate}
    needed = {model for stage in kept.values() for row in stage.rows() for model in row.of}
    for name, stage in reversed(recipe.stages.items()):
        if name in needed:
            needed.update(earlier for _, earlier, _ in stage.made_from())
    stages = {name: kept.get(name, stage) for name, stage in recipe.stages.items() if name in needed or name in kept}
    return recipe.model_copy(update={"stages": stages})


SHARED = {"source", "target", "source_split", "target_split", "source_cut", "protocol"}
"""Keys of a recipe on which every stage of it depends."""


def distinct_stages(entries: Sequence[Planned]) -> tuple[int, dict[str, int]]:
    """How many stages the recipes name, and those that differ with their training steps, for one seed.

    Data are compared by spec, without being read; so this says what to expect, and the store what is true.
    """
    total = 0
    steps: dict[str, int] = {}
    for entry in entries:
        recipe, keys = entry.recipe, dict[str, str]()
        shared = recipe.model_dump(mode="json", include=SHARED)
        for name, stage in recipe.stages.items():
            if isinstance(stage, EvaluateStage):
                continue
            made_from = [(key, keys[earlier]) for key, earlier, _ in stage.made_from()]
            said = stage.model_dump(mode="json", exclude={key for key, _ in made_from})
            settings, count = stage.planned(recipe)
            content = {"shared": shared, "verb": stage.verb, "stage": said, "made_from": made_from, **settings}
            keys[name] = hash_of(content)
            steps[keys[name]] = count
            total += 1
    return total, steps


def only(planned: Plan, *patterns: str) -> Plan:
    """The plan with only the jobs of entries whose name fits one of the patterns, such as ``gta5-*``.

    Raises:
        UserError: a pattern fits none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(job[0].name, pattern) for job in planned.jobs):
            names = ", ".join(entry.name for entry in planned.entries)
            raise UserError(f"--only {pattern}: no entry of suite {planned.suite.name} fits; there are {names}")
    fitting = (job for job in planned.jobs if any(fnmatchcase(job[0].name, pattern) for pattern in patterns))
    return replace(planned, jobs=tuple(fitting))
