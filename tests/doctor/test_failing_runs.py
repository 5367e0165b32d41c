"""Runs made to fail, seconds each: what is wrong is told while they train, in the end, and by the command."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from acclimate.data.readers.scenes import ScenesDataset
from acclimate.doctor.findings import read_findings
from acclimate.doctor.signals import SIGNALS
from acclimate.io.checksums import read_verified_json
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe
from acclimate.report.diagnosis import Diagnosis, diagnosis
from acclimate.report.reading import read_run

RECIPE: dict[str, Any] = {
    "name": "failing",
    "source": "scenes:render,images=8,size=64x32",
    "target": "scenes:camera,images=8,size=64x32",
    "network": {"name": "small", "width": 16},
    "examine": 4,
    "training": {
        "steps": 16,
        "batch_size": 2,
        "precision": "32-true",
        "optimizer": {"learning_rate": 0.02, "discriminator_learning_rate": 1e-12},
        "source_transform": {"size": [64, 32]},
        "target_transform": {"size": [64, 32]},
        "checkpoint_minutes": 0,
        "log_every": 1,
    },
    "stages": {
        "source-only": {"train": "source_only"},
        "minent": {"train": "minent", "options": {"entropy_weight": 50.0}},
        "advent": {"train": "advent", "options": {"adversarial_weight": 0.001, "discriminator_width": 4}},
        "dacs": {"train": "dacs", "options": {"teacher": {"threshold": 0.99999, "confidence": "pixel"}}},
    },
}


def done(folder: Path, **overrides: Any) -> Diagnosis:
    path = folder / "failing.yaml"
    path.write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    run(load_recipe(str(path), overrides=overrides)[0], Run(output=folder / "runs/x"))
    return diagnosis(read_run(folder / "runs/x"))


def test_collapse_a_discriminator_that_sleeps_and_a_teacher_sure_of_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = done(tmp_path)
    told = {(each.where, each.finding.kind): each.finding for each in found.told}
    assert told["minent", "one class swallows"].severity == "alarm"
    assert told["minent", "likely worse"].severity == "alarm"
    sleeping = told["advent", "discriminator gave up"]
    assert sleeping.step is not None
    assert sleeping.step <= 20
    assert told["dacs", "nothing kept"].step == 10
    assert ("source-only", "weak source model") in told, "34 steps are too few for anything"
    # each was told while it happened, once
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    for kind in ("the kept share has stayed below", "minent calls", "source-only reaches only"):
        assert sum(kind in message for message in messages) == 1, kind
    judged = {verdict.name: verdict.leaning for verdict in found.verdicts}
    assert judged["minent"] == "source-only"
    page = (tmp_path / "runs/x/report.html").read_text()
    assert "The discriminator has given up" in page
    assert "Before and after" in page
    # a run that goes on with what is finished says nothing anew and looks at nothing anew
    looked = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(f".stages/examine-*/{SIGNALS}")}
    assert len(looked) == 5
    caplog.clear()
    assert done(tmp_path) == found
    assert {path: path.stat().st_mtime_ns for path in looked} == looked
    assert not caplog.records


def test_a_target_at_night_is_told_before_anything_is_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def night(self: ScenesDataset, index: int) -> Any:
        dark = original(self, index)
        return (dark * 0.1).astype(np.uint8) if self.look == "camera" else dark

    original = ScenesDataset.image
    monkeypatch.setattr(ScenesDataset, "image", night)
    one = {"source-only": {"train": "source_only"}}
    found = done(tmp_path, **{"stages": one, "training.steps": 1, "training.target_transform.size": [64, 64]})
    kinds = [told.finding.kind for told in found.told]
    assert {"colours differ", "aspect ratios differ"} <= set(kinds)
    messages = [record.getMessage() for record in caplog.records]
    assert "grey levels apart" in messages[0], "the first thing that is said"


def test_labels_of_the_target_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = ScenesDataset.label

    def label(self: ScenesDataset, index: int) -> Any:
        read.append(self.look)
        return original(self, index)

    monkeypatch.setattr(ScenesDataset, "label", label)
    one = {"source-only": {"train": "source_only"}}
    done(tmp_path, **{"stages": one, "training.steps": 2})
    assert set(read) == {"render"}
    assert not (tmp_path / "runs/x/1-source-only/findings.json").exists()
    signals = read_verified_json(tmp_path / "runs/x/examined/1-source-only" / SIGNALS)
    assert signals["source"]["split"] == "val"
    assert signals["source"]["held_out"] is True
    with Image.open(tmp_path / "runs/x/examined/1-source-only/pictures/target-0/input.jpg") as picture:
        assert picture.size == (64, 32)


def test_nobody_looks_where_nobody_is_asked_to(tmp_path: Path) -> None:
    one = {"source-only": {"train": "source_only"}}
    found = done(tmp_path, **{"stages": one, "training.steps": 2, "examine": 0})
    assert not found.looked
    assert not (tmp_path / "runs/x/examined").exists()


def test_findings_of_a_training_are_read_back(tmp_path: Path) -> None:
    assert read_findings(tmp_path / "findings.json") == []
