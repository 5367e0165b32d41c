"""Suites: what ships is valid; rows, order, overrides and mistakes of a suite of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from acclimate.bench.suite import distinct_stages, only, only_rows, plan, suite_names
from acclimate.errors import UserError
from acclimate.recipe.load import EvaluateStage, Recipe, TrainStage, load_recipe, recipe_names


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def rows_of(recipe: Recipe) -> list[str]:
    return [row.name for stage in recipe.stages.values() if isinstance(stage, EvaluateStage) for row in stage.rows()]


@pytest.mark.parametrize("name", suite_names())
def test_suites_that_ship_are_valid(name: str) -> None:
    planned = plan(name)
    assert planned.suite.name == name
    assert planned.suite.about
    assert planned.jobs


@pytest.mark.parametrize("name", ["scenes", "carla-camvid"])
def test_tables_of_evidence_have_both_ends_the_control_and_three_seeds(name: str) -> None:
    mandatory = [entry for entry in plan(name).entries if entry.mandatory]
    rows = {row for entry in mandatory for row in rows_of(entry.recipe)}
    assert {
        "source-only",
        "adabn",
        "adaptsegnet",
        "minent",
        "minent-range",
        "advent",
        "advent-prior",
        "ensemble",
    } <= rows
    assert {"advent-ssl", "advent-esl", "bdl", "bdl-esl", "oracle"} <= rows
    assert {"fine-grained", "fine-grained-entropy"} <= rows
    assert {"cbst", "sisc", "sisc-pwl"} <= {re.sub(r"-\d$", "", row) for row in rows}  # the last of several rounds
    assert all(entry.seeds == (0, 1, 2) for entry in mandatory)


def test_rows_keep_only_the_stages_they_need() -> None:
    recipe, _ = load_recipe("scenes-esl")
    kept = only_rows(recipe, ["advent-esl"])
    assert list(kept.stages) == ["advent", "esl-labels", "advent-esl", "scores"]
    assert rows_of(kept) == ["advent-esl"]
    ensemble = only_rows(load_recipe("scenes")[0], ["ensemble"])
    assert list(ensemble.stages) == ["minent", "advent", "scores"]
    with pytest.raises(UserError, match=r"no row 'advent-els'.*advent-esl"):
        only_rows(recipe, ["advent-els"])


SUITE = """
name: mine
seeds: [0, 1]
set: {training.steps: 7, pictures: 0}
entries:
  - {recipe: scenes-esl, rows: [advent]}
  - {recipe: scenes, rows: [minent], mandatory: true}
  - {recipe: scenes, name: extra, rows: [advent], seeds: [1], set: {training.steps: 9}}
""".replace(", pictures: 0", "")


def test_seeds_come_first_then_mandatory_entries(tmp_path: Path) -> None:
    planned = plan(written(tmp_path, SUITE))
    assert [(entry.name, seed) for entry, seed in planned.jobs] == [
        ("scenes", 0), ("scenes-esl", 0), ("scenes", 1), ("scenes-esl", 1), ("extra", 1),
    ]  # fmt: skip
    assert [job[0].name for job in only(planned, "scenes-*").jobs] == ["scenes-esl", "scenes-esl"]
    assert only(planned, "scenes-*", "*").jobs == planned.jobs
    with pytest.raises(UserError, match="no entry of suite mine fits"):
        only(planned, "scenes-*", "gta5-*")


def test_overrides_of_entry_suite_and_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, SUITE)
    steps = {entry.name: entry.recipe.training["steps"] for entry in plan(path).entries}
    assert steps == {"scenes": 7, "scenes-esl": 7, "extra": 9}
    given = plan(path, seeds=[5], overrides={"training.steps": 3})
    assert {entry.recipe.training["steps"] for entry in given.entries} == {3}
    assert {seed for _, seed in given.jobs} == {5}
    text = next(entry.text() for entry in given.entries if entry.name == "extra")
    assert "steps: 3  # --set" in text
    assert "steps: 9  # suite mine" in next(entry.text() for entry in plan(path).entries if entry.name == "extra")


def test_varied_settings_become_entries(tmp_path: Path) -> None:
    text = (
        SUITE
        + "  - {recipe: scenes, name: w, rows: [minent], vary: {stages.minent.options.entropy_weight: [0.1, 0.2]}}\n"
    )
    entries = {entry.name: entry for entry in plan(written(tmp_path, text)).entries}
    stage = entries["w=0.2"].recipe.stages["minent"]
    assert isinstance(stage, TrainStage)
    assert stage.options["entropy_weight"] == 0.2
    assert entries["w=0.1"].varied == ("stages.minent.options.entropy_weight", 0.1)


def test_shared_stages_are_counted_once(tmp_path: Path) -> None:
    planned = plan(written(tmp_path, SUITE))
    total, steps = distinct_stages(planned.entries)
    # minent; advent of 7 steps twice under two recipes' names is one; advent of 9 steps is another
    assert total == 3
    assert sorted(steps.values()) == [7, 7, 9]
    twice = SUITE + "  - {recipe: scenes, name: again, rows: [advent]}\n"
    assert distinct_stages(plan(written(tmp_path, twice)).entries)[1] == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: extra", "name: a/b"), "cannot name a folder"),
        (("name: extra", "name: scenes"), "two entries are called 'scenes'"),
        (("recipe: scenes-esl", "recipe: scenes-els"), "no recipe.*scenes-els|scenes-els.*scenes-esl"),
        (("mandatory: true", "mandatry: true"), "mandatory"),
        (("training.steps: 9", "training.stpes: 9"), "entry extra.*stpes"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(written(tmp_path, SUITE.replace(*change)))


def test_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UserError, match="scenes"):
        plan("scnes")


def test_every_recipe_of_a_papers_setup_is_in_the_published_suite() -> None:
    setups = {name for name in recipe_names() if name.startswith(("gta5-", "synthia-", "foggy-"))}
    assert {entry.recipe for entry in plan("published").suite.entries} == setups
