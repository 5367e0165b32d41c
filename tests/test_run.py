"""A whole recipe on tiny built-in scenes: results, reuse, and exactness after SIGKILL and SIGTERM."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acclimate.errors import UserError
from acclimate.evaluation.scores import read_results
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

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
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [64, 32], flip: true}
  target_transform: {size: [64, 32]}
  checkpoint_minutes: 0
  log_every: 2
stages:
  source-only: {train: source_only}
  advent: {train: advent, options: {discriminator_width: 4}}
  labels: {label: advent}
  esl: {train: advent, pseudo_labels: labels, options: {discriminator_width: 4}}
  scores: {evaluate: [source-only, esl, {name: both, of: [advent, esl]}], pictures: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_leaves_results_and_a_page_and_is_never_done_twice(recipe: Path, tmp_path: Path) -> None:
    loaded, origins = load_recipe(str(recipe))
    rows = run(loaded, Run(output=tmp_path / "runs/a"), origins=origins)
    assert [row.name for row in rows] == ["source-only", "esl", "both"]
    results = read_results(tmp_path / "runs/a/results.json")
    assert [row.miou for row in results.rows] == [row.miou for row in rows]
    # the cost of a checkpoint includes what it was made from
    assert rows[1].train_seconds > rows[0].train_seconds
    page = (tmp_path / "runs/a/report.html").read_text()
    assert not re.search(r"(src|href)=[\"']?https?:", page)
    # another run with the same stages reuses them; only a stage whose settings differ is trained
    stages = tmp_path / "runs/.stages"
    trained = {path: path.stat().st_mtime_ns for path in stages.glob("train-*/model.safetensors")}
    assert len(trained) == 3
    changed, origins = load_recipe(str(recipe), overrides={"stages.esl.options.adversarial_weight": 0.01})
    again = run(changed, Run(output=tmp_path / "runs/b"), origins=origins)
    assert again[0].miou == rows[0].miou
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert len(list(stages.glob("train-*/model.safetensors"))) == 4
    assert not list(stages.glob("train-*/state-*.pt")), "finished stages keep no states of the run"


def test_rows_average_probabilities_and_look_more_than_once(recipe: Path, tmp_path: Path) -> None:
    row = {"name": "soft", "of": ["m", "n"], "average": "probabilities"}
    stages = {
        "m": {"train": "source_only"},
        "n": {"train": "source_only", "training": {"optimizer": {"learning_rate": 0.1}}},
        "scores": {"evaluate": ["m", {"name": "hard", "of": ["m", "n"]}, row], "pictures": 1},
    }
    plain = run(load_recipe(str(recipe), overrides={"stages": stages})[0], Run(output=tmp_path / "runs/p"))
    looks = {"stages": stages, "inference.flip": True, "inference.window": [32, 32]}
    more = run(load_recipe(str(recipe), overrides=looks)[0], Run(output=tmp_path / "runs/q"))
    extras = [[(each.model_extra or {}).get("inference") for each in rows] for rows in (plain, more)]
    seen = {"flip": True, "window": [32, 32]}
    assert extras == [[None, None, {"average": "probabilities"}], [seen, seen, {**seen, "average": "probabilities"}]]
    assert plain[1].iou != plain[2].iou
    assert plain[0].iou != more[0].iou
    kept = read_results(tmp_path / "runs/q/results.json").rows
    assert (kept[0].model_extra or {})["inference"] == seen
    contrary = {"stages": stages, "inference.resample": "probabilities", "inference.average": "logits"}
    with pytest.raises(UserError, match="logits cannot be averaged"):
        run(load_recipe(str(recipe), overrides=contrary)[0], Run(output=tmp_path / "runs/r"))


def test_several_seeds_stand_side_by_side(recipe: Path, tmp_path: Path) -> None:
    loaded, _ = load_recipe(
        str(recipe), overrides={"stages": {"m": {"train": "source_only"}, "scores": {"evaluate": ["m"]}}}
    )
    rows = run(loaded, Run(output=tmp_path / "runs/s", seeds=(0, 1)))
    assert [(row.seed, row.stage) for row in rows] == [(0, "seed-0/1-m"), (1, "seed-1/1-m")]
    assert (tmp_path / "runs/s/seed-1/1-m/model.safetensors").is_file()


def command(recipe: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "acclimate.cli.app", "run", str(recipe), "-o", str(output)]


def products(folder: Path) -> dict[str, bytes]:
    """Everything that must not depend on interruptions: weights, histories, pseudo-labels."""
    found = {}
    for stage in sorted(folder.iterdir()):
        for path in sorted(stage.rglob("*")):
            if path.name in ("model.safetensors", "history.csv", "manifest.json") or path.parent.name == "labels":
                found[f"{stage.name}/{path.relative_to(stage)}"] = path.read_bytes()
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(recipe: Path, tmp_path: Path, number: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = subprocess.run(command(recipe, tmp_path / "whole/run"), env=environment, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    stages = tmp_path / "cut/.stages"
    codes = []
    for wanted in ("train-*/state-00000003.pt", "label-*/labels/*.png", "train-*/state-00000005.pt"):
        process = subprocess.Popen(command(recipe, tmp_path / "cut/run"), env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if list(stages.glob(wanted)):
                process.send_signal(number)
                break
            time.sleep(0.005)
        process.communicate(timeout=120)
        codes.append(process.returncode)
    assert any(code in (-signal.SIGKILL, 130) for code in codes), f"no run was cut: {codes}"
    last = subprocess.run(command(recipe, tmp_path / "cut/run"), env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    expected, found = products(tmp_path / "whole/run"), products(tmp_path / "cut/run")
    assert len(expected) >= 3 + 3 + 6 + 1
    assert found == expected
    scores = [json.loads((tmp_path / place / "run/results.json").read_text())["rows"] for place in ("whole", "cut")]
    assert [row["iou"] for row in scores[0]] == [row["iou"] for row in scores[1]]
