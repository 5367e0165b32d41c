"""Which network of a method is kept: ``result()`` decides for the model, the snapshots and all that comes after."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from acclimate.methods import METHODS
from acclimate.methods.source_only import SourceOnly
from acclimate.models.checkpoint import load_network
from acclimate.models.network import SegmentationNetwork
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

RECIPE = """
name: tiny
source: scenes:render,images=4,size=64x32
target: scenes:camera,images=4,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 2
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.05}
  source_transform: {size: [64, 32]}
  target_transform: {size: [64, 32]}
  snapshots: {every: 1, images: 2, keep: true}
stages:
  trained: {train: keeps_the_first}
  scores: {evaluate: [trained], pictures: 0, label_free: 2}
"""


class KeepsTheFirst(SourceOnly):
    """Trains one network and keeps the one it began with."""

    name = "keeps_the_first"
    made: list[KeepsTheFirst] = []  # noqa: RUF012

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.first = deepcopy(self.network)
        self.made.append(self)

    def result(self) -> SegmentationNetwork:
        return self.first


def test_the_result_is_what_is_saved_snapshotted_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, KeepsTheFirst.name, KeepsTheFirst)
    monkeypatch.setattr(KeepsTheFirst, "made", [])
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    recipe, origins = load_recipe(str(tmp_path / "tiny.yaml"))
    (row,) = run(recipe, Run(output=tmp_path / "run"), origins=origins)
    (method,) = KeepsTheFirst.made
    stage = tmp_path / "run/1-trained"
    kept = method.first.state_dict()
    for path in (stage / "model.safetensors", *stage.glob("snapshots/*/model.safetensors")):
        saved = load_network(path)[0].state_dict()
        assert all(torch.equal(saved[key], value) for key, value in kept.items()), path
    assert any(not torch.equal(value, kept[key]) for key, value in method.network.state_dict().items())
    assert len(list(stage.glob("snapshots/*"))) == 2
    assert row.label_free is not None
