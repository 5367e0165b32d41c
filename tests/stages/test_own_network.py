"""A network of one's own goes through a whole recipe: adaptation, labels, going on, evaluation, export."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from acclimate.cli.app import main
from acclimate.errors import UserError
from acclimate.models import wrapped
from acclimate.models.checkpoint import load_network, read_card
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

OWN = '''
from torch import nn


class Own(nn.Module):
    """Twenty lines of one's own, for sides that are multiples of four."""

    def __init__(self, classes, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 4, stride=4), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, images):
        return {"out": self.head(self.body(images))}


def build(classes, width=8):
    import acclimate

    own = Own(classes, width)
    return acclimate.wrap(own, classes=classes, multiple=4, heads=["head"], head_learning_rate_multiple=10)
'''

RECIPE = """
name: own
source: scenes:render,images=4,size=66x34
target: scenes:camera,images=4,size=66x34
protocol: scenes
network: {name: "python:own_stage_network:build", width: 6}
training:
  steps: 2
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [66, 34]}
  target_transform: {size: [66, 34]}
stages:
  base: {train: advent, options: {discriminator_width: 4}}
  labels: {label: base, selection: {confidence: entropy}}
  esl: {train: advent, start: base, pseudo_labels: labels, options: {discriminator_width: 4}}
  scores: {evaluate: [base, esl], pictures: 0}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_stage_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(wrapped, "_allowed", set())
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path / "own.yaml"


def test_adapted_labelled_evaluated_read_again_and_exported(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, origins = load_recipe(str(recipe))
    rows = run(loaded, Run(output=tmp_path / "run"), origins=origins)
    assert [row.name for row in rows] == ["base", "esl"]
    checkpoint = tmp_path / "run/3-esl/model.safetensors"
    assert read_card(checkpoint).network.model_dump() == {
        "name": "python:own_stage_network:build",
        "options": {"width": 6},
    }

    # another process has not seen the recipe
    monkeypatch.setattr(wrapped, "_allowed", set())
    with pytest.raises(UserError, match="--network python:own_stage_network:build"):
        load_network(checkpoint)
    exported = tmp_path / "own.pt2"
    named = ["--network", "python:own_stage_network:build"]
    command = ["acclimate", *named, "export", str(checkpoint), "-o", str(exported)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    network, _ = load_network(checkpoint)
    program = torch.export.load(exported).module()
    images = torch.rand(1, 3, 70, 101)
    torch.testing.assert_close(program(images), network(images).logits)
