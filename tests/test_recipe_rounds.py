"""Rounds in a recipe are ordinary stages; a run of three rounds survives being killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from acclimate.errors import UserError
from acclimate.recipe.load import LabelStage, TrainStage, load_recipe
from acclimate.recipe.rounds import expanded_rounds

RECIPE = """
name: rounds
source: scenes:render,images=4,size=64x32
target: scenes:camera,images=4,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 3
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [64, 32], crop: [48, 24], flip: true}
  target_transform: {size: [64, 32], crop: [48, 24]}
  checkpoint_minutes: 0
stages:
  base: {train: source_only}
  sisc:
    rounds: 3
    start: base
    label:
      selection: {confidence: softmax, rule: portion, decision: class-balanced}
      inference: {kind: patches, patches: 3, size: [0.6, 0.6], whole_image: true}
      spatial_prior: true
    train: {train: pwl, training: {mining: {chance: 0.5}}}
    portion: {first: 0.4, step: 0.25, highest: 0.75}
    learning_rate: {first: 0.01}
    source_portion: {first: 0.5, step: 0.2}
  scores: {evaluate: [base, sisc, {name: last, of: [sisc]}], pictures: 0}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "rounds.yaml"
    path.write_text(RECIPE)
    return path


def test_rounds_become_ordinary_stages(recipe: Path) -> None:
    stages = load_recipe(str(recipe))[0].stages
    names = ["sisc-labels-1", "sisc-1", "sisc-labels-2", "sisc-2", "sisc-labels-3", "sisc-3"]
    assert list(stages) == ["base", *names, "scores"]
    labels = [stage for stage in stages.values() if isinstance(stage, LabelStage)]
    models = [stage for stage in list(stages.values())[1:] if isinstance(stage, TrainStage)]
    assert [stage.label for stage in labels] == ["base", "sisc-1", "sisc-2"]
    assert [stage.selection.portion for stage in labels] == [0.4, 0.65, 0.75]
    assert [stage.start for stage in models] == ["base", "sisc-1", "sisc-2"]
    assert [stage.pseudo_labels for stage in models] == names[::2]
    rates = [stage.training["optimizer"]["learning_rate"] for stage in models]
    assert rates == pytest.approx([0.01, 0.01 / 2**0.5, 0.005], rel=1e-5)
    assert [stage.training["source_portion"] for stage in models] == [0.5, 0.7, 0.9]
    assert [stage.training["mining"] for stage in models] == [{"chance": 0.5}] * 3
    rows = stages["scores"].rows()  # type: ignore[union-attr]
    assert [row.name for row in rows] == ["base", "sisc-1", "sisc-2", "sisc-3", "last"]
    assert rows[-1].of == ["sisc-3"]


def test_rounds_can_be_overridden_and_their_mistakes_are_told(recipe: Path) -> None:
    assert "sisc-2" not in load_recipe(str(recipe), overrides={"stages.sisc.rounds": 1})[0].stages
    with pytest.raises(UserError, match=r"stages\.sisc.*learning_rates.*learning_rate"):
        load_recipe(str(recipe), overrides={"stages.sisc.learning_rates": {"first": 1.0}})
    with pytest.raises(UserError, match="no earlier stage is called 'bas'"):
        load_recipe(str(recipe), overrides={"stages.sisc.start": "bas"})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("label.selection", 3, "stages.sisc: selection must be a mapping, got 3"),
        ("label.selection", [], r"stages.sisc: selection must be a mapping, got \[\]"),
        ("train.training", "x", "stages.sisc: training must be a mapping, got 'x'"),
        ("train.training.optimizer", 1, "stages.sisc: optimizer must be a mapping, got 1"),
        ("train", {"label": "base"}, "sisc"),
    ],
)
def test_parts_of_rounds_that_are_no_mappings_are_told(key: str, value: object, message: str, tmp_path: Path) -> None:
    content = yaml.safe_load(RECIPE)
    part = content["stages"]["sisc"]
    for name in key.split(".")[:-1]:
        part = part.setdefault(name, {})
    part[key.split(".")[-1]] = value
    (tmp_path / "rounds.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(UserError, match=message):
        load_recipe(str(tmp_path / "rounds.yaml"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("many", [0, 1001, 10**11, 10**20, 1e999, -1])
def test_more_rounds_than_anybody_trains_are_refused_at_once(recipe: Path, many: float) -> None:
    with pytest.raises(UserError, match=r"stages\.sisc.*rounds"):
        load_recipe(str(recipe), overrides={"stages.sisc.rounds": many})


def test_recipes_without_rounds_are_left_alone() -> None:
    content = {"name": "a", "stages": {"b": {"train": "source_only"}}}
    assert expanded_rounds(content) is content


def products(folder: Path) -> dict[str, bytes]:
    wanted = ("model.safetensors", "modules.safetensors", "manifest.json")
    return {
        f"{stage.name}/{path.relative_to(stage)}": path.read_bytes()
        for stage in sorted(folder.iterdir())
        if stage.is_dir()
        for path in sorted(stage.rglob("*"))
        if path.name in wanted or path.parent.name == "labels"
    }


def test_three_rounds_killed_at_arbitrary_moments_end_as_if_they_had_not_been(recipe: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(place: str) -> list[str]:
        return [sys.executable, "-m", "acclimate.cli.app", "run", str(recipe), "-o", str(tmp_path / place / "run")]

    whole = subprocess.run(command("whole"), env=environment, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    expected = products(tmp_path / "whole/run")
    assert len(expected) == 4 + 3 + 3 + 3 * 4

    # each cut falls after another count of stages and a moment into the next, however fast the machine is
    draw = random.Random(0)
    for stages in (2, 4):
        process = subprocess.Popen(command("cut"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and len(list((tmp_path / "cut/run").glob("*/"))) < stages:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be cut"
    last = subprocess.run(command("cut"), env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    assert products(tmp_path / "cut/run") == expected
