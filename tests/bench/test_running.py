"""A suite's runs: partial and stale results, failures, one table; with results made up instead of trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.bench.running import plan_lines, run_suite, view_of
from acclimate.bench.suite import Plan, only, plan
from acclimate.errors import UserError
from acclimate.evaluation.scores import Row, read_results, write_results
from acclimate.io.files import write_text
from acclimate.pipeline.run import Run
from acclimate.recipe.load import EvaluateStage, Origins, Recipe, explained
from acclimate.training.interrupt import Interrupted

MIOU = {"source-only": 0.20, "adabn": 0.24, "minent": 0.25, "advent": 0.30, "oracle": 0.40, "advent-esl": 0.32}
SUITE = """
name: mine
seeds: [0, 1]
entries:
  - {recipe: scenes, rows: [source-only, adabn, minent, advent, oracle]}
  - {recipe: scenes-esl, rows: [advent, advent-esl]}
"""


class Trainer:
    """Stands for the pipeline: writes what a run writes, and remembers what it was asked."""

    def __init__(self, *, fails: tuple[str, int] = ("", 0), stops: tuple[str, int] = ("", 0), esl_base: float = 0.30):
        self.fails, self.stops, self.esl_base = fails, stops, esl_base
        self.asked: list[tuple[str, int]] = []
        self.stores: set[Path | None] = set()

    def __call__(self, recipe: Recipe, settings: Run, *, origins: Origins) -> None:
        (seed,) = settings.seeds
        self.asked.append((recipe.name, seed))
        self.stores.add(settings.store)
        if (recipe.name, seed) == self.fails:
            raise UserError("the disk is full")
        if (recipe.name, seed) == self.stops:
            raise Interrupted("stopped")
        write_text(settings.output / "recipe.yaml", explained(recipe, origins))
        names = [
            row.name for stage in recipe.stages.values() if isinstance(stage, EvaluateStage) for row in stage.rows()
        ]
        made = [self.row(name, seed, number, recipe.name) for number, name in enumerate(names, start=1)]
        write_results(settings.output / "results.json", made)

    def row(self, name: str, seed: int, number: int, recipe: str) -> Row:
        miou = self.esl_base if (name, recipe) == ("advent", "scenes-esl") else MIOU[name]
        miou += 0.01 * seed
        return Row(
            name=name, stage=f"{number}-{name}", method=name.replace("-", "_"), seed=seed, data="scenes", split="val",
            images=3, protocol="scenes", miou=miou, classes_averaged=1, iou={"road": miou},
            train_seconds=60.0 * number, peak_memory_mb=100.0, checkpoint=f"{number}-{name}/model.safetensors",
            label_free={"mean entropy": 1 - miou},
        )  # fmt: skip


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    (tmp_path / "mine.yaml").write_text(SUITE, encoding="utf-8")
    return plan(str(tmp_path / "mine.yaml"))


def content(output: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return result


def test_every_run_shares_one_store_and_rows_appear_once(planned: Plan, tmp_path: Path) -> None:
    output, trainer = tmp_path / "out", Trainer()
    assert run_suite(planned, output=output, runner=trainer) == []
    assert trainer.asked == [("scenes", 0), ("scenes-esl", 0), ("scenes", 1), ("scenes-esl", 1)]
    assert trainer.stores == {output / ".stages"}
    rows = read_results(output / "results.json").rows
    assert sorted((row.name, row.seed) for row in rows) == sorted((name, seed) for name in MIOU for seed in (0, 1))
    assert next(row for row in rows if row.name == "minent").checkpoint == "scenes/seed-0/3-minent/model.safetensors"
    assert content(output)["complete"] is True
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "AdvEnt &gt; MinEnt" in page
    assert "Partial" not in page


def test_gains_costs_and_correlation_by_hand(planned: Plan, tmp_path: Path) -> None:
    run_suite(planned, output=tmp_path / "out", runner=Trainer())
    (part,) = view_of(planned, tmp_path / "out").tables
    lines = {line.line.name: line for line in part.lines}
    advent = lines["advent"]
    assert advent.line.gain is not None
    assert advent.line.gain.mean == pytest.approx(0.10)
    assert advent.over_control is not None
    assert advent.over_control.mean == pytest.approx(0.06)
    assert advent.gap_closed == pytest.approx(0.5)
    assert advent.relative_time == pytest.approx(4.0)
    assert lines["advent-esl"].over_control is not None  # measured against the suite's control: its recipe has none
    assert lines["adabn"].over_control is None
    correlations = {correlation.score: correlation for correlation in part.correlations}
    assert correlations["mean entropy"].value == pytest.approx(1.0)  # lower entropy, higher mIoU in every row
    assert correlations["mean entropy"].rows == 12
    assert correlations["class-ratio divergence"].value is None


def test_results_hold_what_the_page_shows_of_every_model(planned: Plan, tmp_path: Path) -> None:
    run_suite(planned, output=tmp_path / "out", runner=Trainer())
    models = {model["name"]: model for model in content(tmp_path / "out")["models"]}
    advent = models["advent"]
    assert advent["gain"] == {"mean": pytest.approx(0.10), "deviation": pytest.approx(0.0), "count": 2}
    assert advent["over_control"]["mean"] == pytest.approx(0.06)
    assert advent["gap_closed"] == pytest.approx(0.5)
    assert advent["train_seconds"]["mean"] == pytest.approx(240.0)
    assert (advent["source_only"], advent["seeds"], advent["kept"]) == ("source-only", [0, 1], None)
    assert models["source-only"]["gain"] is None


def test_hours_count_a_shared_stage_once(planned: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"

    class Linking(Trainer):
        """Leaves stages as a run does: links into the store."""

        def __call__(self, recipe: Recipe, settings: Run, *, origins: Origins) -> None:
            super().__call__(recipe, settings, origins=origins)
            own = f"train-{recipe.name}-{settings.seeds[0]}"
            for number, (stage, seconds) in enumerate((("train-shared", 1800.0), (own, 900.0)), start=1):
                folder = output / ".stages" / stage
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "done.json").write_text(json.dumps({"train_seconds": seconds}))
                (settings.output / f"{number}-{stage}").symlink_to(folder.resolve())

    run_suite(planned, output=output, runner=Linking())
    assert content(output)["hours"] == pytest.approx(0.5 + 4 * 0.25)
    assert "took 1.5 hours" in (output / "report.html").read_text(encoding="utf-8")


def test_rows_that_differ_are_led_by_their_recipe(planned: Plan, tmp_path: Path) -> None:
    run_suite(planned, output=tmp_path / "out", runner=Trainer(esl_base=0.1))
    names = {row.name for row in view_of(planned, tmp_path / "out").rows}
    assert {"advent", "scenes-esl: advent"} <= names  # the first recipe's keep their names
    assert "scenes: advent" not in names


def test_rows_on_different_targets_are_all_led_by_their_recipe(tmp_path: Path) -> None:
    text = "{recipe: scenes, name: %s, rows: [advent], seeds: [0], set: {target: 'scenes:%s', training.steps: %d}}"
    entries = "".join(f"  - {text % (look, look, steps)}\n" for look, steps in (("dusk", 1), ("fog", 2)))
    (tmp_path / "mine.yaml").write_text(f"name: looks\nentries:\n{entries}", encoding="utf-8")
    planned = plan(str(tmp_path / "mine.yaml"))

    class Looks(Trainer):
        def row(self, name: str, seed: int, number: int, recipe: str) -> Row:
            return super().row(name, len(self.asked), number, recipe).model_copy(update={"seed": seed})

    run_suite(planned, output=tmp_path / "out", runner=Looks())
    assert {row.name for row in view_of(planned, tmp_path / "out").rows} == {"dusk: advent", "fog: advent"}


def test_a_failure_is_kept_and_the_others_go_on(planned: Plan, tmp_path: Path) -> None:
    output, trainer = tmp_path / "out", Trainer(fails=("scenes", 0))
    failures = run_suite(planned, output=output, runner=trainer)
    assert [str(failure) for failure in failures] == ["scenes, seed 0: the disk is full"]
    assert len(trainer.asked) == 4
    assert content(output)["missing"] == ["scenes, seed 0"]
    assert content(output)["failed"] == ["scenes, seed 0: the disk is full"]
    assert "Partial: 1 of 4 runs" in (output / "report.html").read_text(encoding="utf-8")
    assert run_suite(planned, output=output, runner=Trainer()) == []
    assert content(output)["complete"] is True


def test_what_is_finished_when_asked_to_stop_is_written(planned: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(Interrupted):
        run_suite(planned, output=output, runner=Trainer(stops=("scenes", 1)))
    rows = read_results(output / "results.json").rows
    assert {row.seed for row in rows} == {0}
    assert (output / "report.html").exists()
    # a row that two recipes share keeps its name though one of them has a seed more
    run_suite(only(planned, "scenes"), output=output, runner=Trainer())
    assert not any(":" in row.name for row in view_of(planned, output).rows)


def test_results_of_other_settings_are_left_out(planned: Plan, tmp_path: Path) -> None:
    run_suite(planned, output=tmp_path / "out", runner=Trainer())
    changed = plan(str(tmp_path / "mine.yaml"), overrides={"training.steps": 5})
    view = view_of(changed, tmp_path / "out")
    assert view.rows == []
    assert len(view.missing) == 4


def test_seeds_of_other_calls_are_shown(planned: Plan, tmp_path: Path) -> None:
    run_suite(planned, output=tmp_path / "out", runner=Trainer())
    view = view_of(plan(str(tmp_path / "mine.yaml"), seeds=[0]), tmp_path / "out")
    assert {row.seed for row in view.rows} == {0, 1}


def test_plan_tells_what_is_done(planned: Plan, tmp_path: Path) -> None:
    run_suite(only(planned, "scenes"), output=tmp_path / "out", runner=Trainer())
    lines = plan_lines(planned, tmp_path / "out")
    assert "2 done" in lines[1]
    assert "0 done" in lines[2]
    assert lines[-1] == "per seed: 8 stages named, 7 of them different, 5,500 training steps"
