"""The translate stage in a recipe: results, reuse, and exactness after SIGKILL in training and in writing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.data.registry import open_dataset
from acclimate.data.wrappers import Translated
from acclimate.errors import UserError
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe
from acclimate.translation.colour import channel_histograms, sampled_images, wasserstein

RECIPE = """
name: tiny
source: scenes:render,images=24,size=64x32
target: scenes:camera,images=8,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 4
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [64, 32], flip: true}
  target_transform: {size: [64, 32]}
translation:
  options: {width: 4, blocks: 1, discriminator_width: 4, pool_size: 3}
  training: {steps: 8, batch_size: 2, checkpoint_minutes: 0, log_every: 2}
stages:
  source-only: {train: source_only}
  translated: {translate: cyclegan, perceptual: source-only}
  matched: {translate: histogram}
  adapted: {train: source_only, source: translated}
  baseline: {train: source_only, source: matched}
  scores: {evaluate: [source-only, adapted, baseline], pictures: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def test_translated_images_replace_the_sources_and_keep_its_labels(recipe: Path, tmp_path: Path) -> None:
    loaded, _ = load_recipe(str(recipe))
    rows = run(loaded, Run(output=tmp_path / "runs/a"))
    assert len({row.miou for row in rows}) == 3, "each was trained on other images"
    assert rows[1].train_seconds > rows[0].train_seconds
    source = open_dataset("scenes:render,images=24,size=64x32")
    target = open_dataset("scenes:camera,images=8,size=64x32")
    matched = Translated(source, tmp_path / "runs/a/3-matched")
    assert list(matched.names) == list(source.names)
    assert matched.image(3).shape == source.image(3).shape
    assert (matched.image(3) != source.image(3)).any()
    assert (matched.label(3) == source.label(3)).all()
    counts = [channel_histograms(sampled_images(dataset)) for dataset in (source, matched, target)]
    assert (wasserstein(counts[1], counts[2]) < wasserstein(counts[0], counts[2]) / 5).all()
    page = (tmp_path / "runs/a/report.html").read_text()
    assert 'id="translation"' in page
    assert "Stage 2-translated: source images, the same translated, and target images" in page
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/.stages").glob("translate-*/images/*")}
    assert len(before) == 48
    run(loaded, Run(output=tmp_path / "runs/b"))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_settings_and_sets_decide_which_translation_it_is(recipe: Path, tmp_path: Path) -> None:
    def translations() -> set[str]:
        return {path.parent.name for path in (tmp_path / "runs/.stages").glob("translate-*/done.json")}

    stages = {"matched": {"translate": "mean-std"}, "adapted": {"train": "source_only", "source": "matched"}}
    run(load_recipe(str(recipe), overrides={"stages": stages})[0], Run(output=tmp_path / "runs/a"))
    first = translations()
    other = {"stages": stages, "target": "scenes:dusk,images=8,size=64x32"}
    run(load_recipe(str(recipe), overrides=other)[0], Run(output=tmp_path / "runs/b"))
    assert len(translations() - first) == 1
    assert len(list((tmp_path / "runs/.stages").glob("train-*/done.json"))) == 2


def test_a_translation_goes_on_from_an_earlier_one(recipe: Path, tmp_path: Path) -> None:
    stages = {
        "matched": {"translate": "mean-std"},
        "again": {"translate": "histogram", "source": "matched"},
        "alone": {"translate": "histogram"},
        "baseline": {"train": "source_only", "source": "again"},
        "scores": {"evaluate": ["baseline"]},
    }
    content = load_recipe(str(recipe))[0].model_dump(mode="json", exclude_unset=True)
    path = tmp_path / "chain.yaml"
    path.write_text(json.dumps({**content, "stages": stages}))
    row = run(load_recipe(str(path))[0], Run(output=tmp_path / "runs/chain"))[0]
    source = open_dataset("scenes:render,images=24,size=64x32")
    again, alone = (Translated(source, tmp_path / f"runs/chain/{place}") for place in ("2-again", "3-alone"))
    assert (again.image(0) != alone.image(0)).any()
    first = Translated(source, tmp_path / "runs/chain/1-matched")
    counts = channel_histograms(sampled_images(first))
    target = channel_histograms(sampled_images(open_dataset("scenes:camera,images=8,size=64x32")))
    assert (wasserstein(channel_histograms(sampled_images(again)), target) < wasserstein(counts, target)).all()
    told = json.loads((tmp_path / "runs/chain/2-again/translation.json").read_text())["wasserstein"]
    raw = wasserstein(channel_histograms(sampled_images(source)), target)
    assert told["before"] == pytest.approx(raw.tolist(), abs=0.06), "from the untranslated source"
    assert row.train_seconds > 0


def test_an_unfinished_translation_is_not_trained_on(tmp_path: Path) -> None:
    source = open_dataset("scenes:render,images=2,size=64x32")
    with pytest.raises(UserError, match="no finished translation"):
        Translated(source, tmp_path)
    (tmp_path / "translation.json").write_text(json.dumps({"identity": "x"}))
    with pytest.raises(UserError, match="lacks 2 of the 2 images"):
        Translated(source, tmp_path)


def products(folder: Path) -> dict[str, bytes]:
    found = {}
    for stage in sorted(folder.iterdir()):
        for path in sorted(stage.rglob("*")):
            named = path.name in ("model.safetensors", "translator.safetensors", "history.csv", "translation.json")
            if named or path.parent.name == "images":
                found[f"{stage.name}/{path.relative_to(stage)}"] = path.read_bytes()
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_run_cut_in_training_and_in_writing_ends_as_a_whole_one(recipe: Path, tmp_path: Path, number: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(output: Path) -> list[str]:
        return [sys.executable, "-m", "acclimate.cli.app", "run", str(recipe), "-o", str(output)]

    whole = subprocess.run(command(tmp_path / "whole/run"), env=environment, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    stages = tmp_path / "cut/.stages"
    codes = []
    for wanted in ("translate-*/state-00000003.pt", "translate-*/images/*.png"):
        process = subprocess.Popen(command(tmp_path / "cut/run"), env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if list(stages.glob(wanted)):
                process.send_signal(number)
                break
            time.sleep(0.002)
        process.communicate(timeout=60)
        codes.append(process.returncode)
    assert all(code in (-signal.SIGKILL, 130) for code in codes), f"not every run was cut: {codes}"
    last = subprocess.run(command(tmp_path / "cut/run"), env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    expected, found = products(tmp_path / "whole/run"), products(tmp_path / "cut/run")
    assert len(expected) == 3 * 2 + 2 + 2 + 24 * 2
    assert found == expected


def test_the_command_leaves_a_folder_that_can_be_opened_and_stays_with_its_settings(tmp_path: Path) -> None:
    from acclimate.cli.data import translate_command

    def command(translator: str) -> None:
        translate_command(
            source="scenes:render,images=3,size=64x32",
            target="scenes:camera,images=3,size=64x32",
            source_split="train",
            target_split="train",
            output=tmp_path / "out",
            translator=translator,
            perceptual=None,
            seed=0,
            overrides=[],
        )

    command("mean-std")
    source = open_dataset("scenes:render,images=3,size=64x32")
    opened = open_dataset(f"folder:{tmp_path / 'out/dataset.yaml'}")
    assert list(opened.names) == list(source.names)
    assert opened.class_space.classes == source.class_space.classes
    assert all((opened.label(index) == source.label(index)).all() for index in range(3))
    first = tmp_path / "out/images" / f"{source.names[0]}.png"
    assert (np.asarray(Image.open(first)) == opened.image(0)).all()
    written = first.stat().st_mtime_ns
    command("mean-std")
    assert first.stat().st_mtime_ns == written
    with pytest.raises(UserError, match="another folder"):
        command("histogram")
