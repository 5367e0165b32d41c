"""Snapshots: which one is chosen, what stays on disk, and that they change nothing else, killed or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from acclimate.errors import UserError
from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.evaluation.scores import Row
from acclimate.io.checksums import read_verified_json
from acclimate.models.checkpoint import load_network, read_card
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe
from acclimate.training import loop
from acclimate.training.settings import Choice, SnapshotSettings
from acclimate.training.snapshots import Snapshots, forget_snapshots

LOWER, HIGHER = "mean entropy", "information maximisation"


def taken(
    folder: Path, scores: Sequence[float], *, steps: Sequence[int] = (10, 20, 30, 40), **settings: Any
) -> Snapshots:
    """Snapshots of a training whose scores are known; the weights written are the step's number."""
    remaining = iter(scores)

    def write(place: Path, step: int) -> None:
        place.mkdir(parents=True, exist_ok=True)
        (place / "model").write_text(str(step))

    made = Snapshots(
        folder,
        SnapshotSettings(every=10, **settings),
        score=lambda: dict.fromkeys((LOWER, HIGHER), next(remaining)),
        write=write,
        higher_is_better={LOWER: False, HIGHER: True},
    )
    for step in steps[: len(scores)]:
        made.take(step)
    return made


def on_disk(folder: Path) -> list[int]:
    return sorted(int(place.name) for place in (folder / "snapshots").glob("*"))


def test_they_are_due_at_multiples_and_at_the_end(tmp_path: Path) -> None:
    made = taken(tmp_path, [])
    assert [step for step in range(1, 26) if made.due(step, last=step == 25)] == [10, 20, 25]


@pytest.mark.parametrize(
    ("choose", "scores", "best"),
    [
        (LOWER, [0.3, 0.1, 0.2], 20),
        (HIGHER, [0.3, 0.1, 0.2], 10),
        (LOWER, [0.2, 0.1, 0.1], 20),  # equal ones: the earliest
        (LOWER, [math.nan, 0.9, math.inf], 20),  # no number is worse than any
        (HIGHER, [0.1, 0.2, 0.3], 30),
        ("last", [0.1, 0.2, 0.3], None),
    ],
)
def test_the_best_by_the_score_is_chosen_and_alone_stays(
    choose: str, scores: list[float], best: int | None, tmp_path: Path
) -> None:
    made = taken(tmp_path, scores, choose=choose)
    assert made.chosen() == best
    assert on_disk(tmp_path) == ([] if best is None else [best])
    index = read_verified_json(tmp_path / "snapshots.json")
    assert index["chosen"] == best
    assert list(index["scores"]) == ["10", "20", "30"]
    (tmp_path / "model").write_text("last")
    assert made.install(["modules", "model"]) == best
    assert (tmp_path / "model").read_text() == ("last" if best is None else str(best))


def test_all_are_kept_where_asked_for(tmp_path: Path) -> None:
    assert taken(tmp_path, [0.3, 0.1, 0.2], choose=LOWER, keep=True).chosen() == 20
    assert on_disk(tmp_path) == [10, 20, 30]
    forget_snapshots(tmp_path)
    assert on_disk(tmp_path) == [10, 20, 30]


def test_a_finished_stage_forgets_the_weights_and_remembers_the_scores(tmp_path: Path) -> None:
    taken(tmp_path, [0.3, 0.1], choose=LOWER)
    forget_snapshots(tmp_path)
    forget_snapshots(tmp_path)  # nothing is left to do
    assert not (tmp_path / "snapshots").exists()
    assert taken(tmp_path, []).scores[20][LOWER] == 0.1


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4])
def test_taken_again_after_a_kill_they_end_the_same(killed_after: int, tmp_path: Path) -> None:
    scores = [0.4, 0.1, 0.3, 0.2]
    whole = taken(tmp_path / "whole", scores, choose=LOWER)
    for resumed_at in range(killed_after + 1):  # the state may be older than the newest snapshot
        folder = tmp_path / f"cut-{resumed_at}"
        taken(folder, scores[:killed_after], choose=LOWER)
        again = taken(folder, scores[resumed_at:], steps=[10, 20, 30, 40][resumed_at:], choose=LOWER)
        assert again.scores == whole.scores
        assert again.chosen() == 20
        assert on_disk(folder) == [20]
        assert (folder / "snapshots.json").read_bytes() == (tmp_path / "whole/snapshots.json").read_bytes()


def test_a_damaged_index_is_said(tmp_path: Path) -> None:
    taken(tmp_path, [0.3, 0.1], choose=LOWER)
    path = tmp_path / "snapshots.json"
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(UserError, match=r"checksum.*delete .* to train this stage anew"):
        taken(tmp_path, [])


def test_every_score_can_choose() -> None:
    assert set(get_args(Choice)) == {"last", *HIGHER_IS_BETTER}


RECIPE = """
name: tiny
source: scenes:render,images=6,size=64x32
target: scenes:camera,images=6,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 6
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.05}
  source_transform: {size: [64, 32], flip: true}
  target_transform: {size: [64, 32]}
  checkpoint_minutes: 0
  log_every: 3
stages:
  advent: {train: advent, options: {discriminator_width: 4}}
  scores: {evaluate: [advent], pictures: 0, label_free: 4}
"""


def ran(folder: Path, **snapshots: Any) -> tuple[Row, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(RECIPE)
    overrides = {"training.snapshots": snapshots} if snapshots else {}
    recipe, origins = load_recipe(str(folder / "tiny.yaml"), overrides=overrides)
    (row,) = run(recipe, Run(output=folder / "run"), origins=origins)
    return row, folder / "run/1-advent"


def test_they_change_no_training_and_score_what_the_results_score(tmp_path: Path) -> None:
    plain, without = ran(tmp_path / "without")
    row, place = ran(tmp_path / "with", every=2, images=4, keep=True)
    ours, theirs = load_network(place / "model.safetensors")[0], load_network(without / "model.safetensors")[0]
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())
    assert on_disk(place) == [2, 4, 6]
    assert row.chosen_step is None
    assert row.miou == plain.miou
    index = read_verified_json(place / "snapshots.json")
    # the last one is the model, so it is scored as the evaluate stage scores the model
    assert index["scores"]["6"] == pytest.approx(row.label_free)
    history = (place / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in history[1:]] == ["2", "3", "4", "6"]
    assert "class-ratio divergence" in history[0]


def test_the_chosen_one_is_the_model(tmp_path: Path) -> None:
    _, kept = ran(tmp_path / "kept", every=2, images=4, keep=True)
    scores = read_verified_json(kept / "snapshots.json")["scores"]
    # a score whose best is not the last one, so that choosing is seen
    choose, best = next(
        (name, step)
        for name, higher in HIGHER_IS_BETTER.items()
        for step in [(max if higher else min)(scores, key=lambda step, name=name: scores[step][name])]
        if step != "6"
    )
    row, place = ran(tmp_path / "chosen", every=2, images=4, choose=choose)
    assert row.chosen_step == int(best)
    assert read_card(place / "model.safetensors").steps == int(best)
    snapshot = kept / "snapshots" / f"{int(best):08d}" / "model.safetensors"
    chosen, wanted = load_network(place / "model.safetensors")[0], load_network(snapshot)[0]
    assert all(torch.equal(chosen.state_dict()[key], value) for key, value in wanted.state_dict().items())
    assert not (place / "snapshots").exists()
    assert row.label_free == pytest.approx(scores[best])


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("moment", ["before the state is saved", "after"])
def test_killed_anywhere_the_choice_is_the_same(
    step: int, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"every": 1, "images": 4, "choose": "mean entropy"}
    _, whole = ran(tmp_path / "whole", **how)
    save = loop._save

    def saved(training: loop.Training[Any]) -> None:
        if training.position.step == step and moment.startswith("before"):
            raise Killed
        save(training)
        if training.position.step == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_save", saved)
        with pytest.raises(Killed):
            ran(tmp_path / "cut", **how)
    _, cut = ran(tmp_path / "cut", **how)
    for name in ("model.safetensors", "snapshots.json", "history.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
