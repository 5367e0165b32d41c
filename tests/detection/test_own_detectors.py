"""Detectors of the user's own in recipes, commands and checkpoints: named by the user, never by a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_detectors
import torch
import yaml
from PIL import Image

from acclimate.cli.data import label_command
from acclimate.cli.models import evaluate_command
from acclimate.cli.predict import predict_command
from acclimate.detection.checkpoint import DetectorCard, load_detector, read_detector_card, save_detector
from acclimate.detection.config import DetectorConfig
from acclimate.detection.exporting import export_detector
from acclimate.detection.networks import build_detector
from acclimate.errors import UserError
from acclimate.io.validation import validated
from acclimate.models import NetworkConfig, build_network, wrapped
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

KINDS = list(tiny_detectors.MODULES)


@pytest.fixture
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: the user has named no code yet."""
    monkeypatch.setattr(wrapped, "_allowed", set())


NAME = "python:tiny_detectors:wrapped"


def config_of(**options: Any) -> DetectorConfig:
    return validated(DetectorConfig, {"name": NAME, **options}, "network")


def card_of(config: DetectorConfig) -> DetectorCard:
    return DetectorCard(
        network=config, classes=("a", "b", "c"), colours=((0, 0, 0),) * 3, class_space="toy", input_size=(64, 64)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_holds_name_and_options_and_is_read_again(kind: str, tmp_path: Path, nothing_named: None) -> None:
    config = config_of(kind=kind, weights=None)
    detector = build_detector(config, 3).eval()
    path = tmp_path / "model.safetensors"
    save_detector(path, detector, card=card_of(config))
    with pytest.raises(UserError, match=f"--network {NAME}"):
        load_detector(path)
    state = torch.random.get_rng_state()
    again, card = load_detector(path, network=NAME)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert card.network.model_dump() == {"name": NAME, "options": {"kind": kind, "weights": None}}
    assert again.config == config
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(again(images)[:3], detector(images)[:3], strict=True):
            assert torch.equal(one, other)
    filled, _ = load_detector(path, network=build_detector(config, 3))
    assert torch.equal(filled.module.backbone.second.weight, detector.module.backbone.second.weight)
    with pytest.raises(UserError, match="3 classes, the given detector of 2"):
        load_detector(path, network=build_detector(config, 2))


def test_a_file_of_weights_never_imports_code_by_itself(tmp_path: Path) -> None:
    config = config_of()
    save_detector(tmp_path / "model.safetensors", build_detector(config, 3), card=card_of(config))
    program = """
import sys
from pathlib import Path
from acclimate.detection.checkpoint import load_detector, read_detector_card
from acclimate.errors import UserError

path = Path(sys.argv[1])
print(read_detector_card(path).network.name)
for arguments in ({}, {"network": "python:other:build"}, {"network": "python:tiny_detectors:wrapped"}):
    try:
        print(load_detector(path, **arguments)[0].family)
    except UserError as error:
        print(error)
    print("tiny_detectors" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{':'.join(sys.path)}"}
    command = [sys.executable, "-c", program, str(tmp_path / "model.safetensors")]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert found[0] == NAME
    assert f"--network {NAME}" in found[1]
    assert f"--network {NAME}" in found[3]
    assert [found[2], *found[4:]] == ["False", "False", "retinanet", "True"]


def test_options_weights_are_not_asked_for_again() -> None:
    config = config_of(kind="fcos", weights="coco")
    assert config.without_weights().options == {"kind": "fcos", "weights": None}
    assert DetectorConfig(weights="imagenet").without_weights() == DetectorConfig()
    assert "options" not in DetectorConfig().model_dump()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "python:nowhere:build"}, "cannot be imported.*PYTHONPATH"),
        ({"name": "python:tiny_detectors"}, "write python:package.module:factory"),
        ({"name": NAME, "knd": "fcos"}, "cannot be called with classes=3.*knd"),
        ({"name": "python:tiny_detectors:plain"}, "Conv2d is no detector that can be wrapped"),
        ({"name": "python:tiny_detectors:two_stages"}, "FasterRCNN is no detector that can be wrapped"),
        ({"name": "ssdlight"}, "no detector is called 'ssdlight'; did you mean 'ssdlite'"),
        ({"name": "ssdlite", "options": {"width": 3}}, "has no option 'options'"),
    ],
)
def test_code_that_makes_no_detector_is_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_detector(validated(DetectorConfig, values, "network"), 3)


def test_a_detector_in_a_recipe_of_segmentation_is_told() -> None:
    with pytest.raises(UserError, match="is one for detection: the recipe has to say task: detection"):
        build_network(NetworkConfig.parse({"name": NAME}), 3)


def test_own_detectors_are_exported(tmp_path: Path, nothing_named: None) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    torch.manual_seed(0)
    config = config_of(kind="fcos")
    save_detector(tmp_path / "model.safetensors", build_detector(config, 3), card=card_of(config))
    with pytest.raises(UserError, match=f"--network {NAME}"):
        export_detector(tmp_path / "model.safetensors", tmp_path / "own.onnx")
    wrapped.allow_code(NAME)
    compared = export_detector(tmp_path / "model.safetensors", tmp_path / "own.onnx")
    assert [each.what for each in compared] == ["score", "coordinate"] * 2
    assert (tmp_path / "own.onnx").is_file()


def test_a_picture_without_anything_is_no_problem_for_what_is_exported(tmp_path: Path, nothing_named: None) -> None:
    """Exporters take it that suppression leaves two boxes or more, and programs would end where it does not."""
    wrapped.allow_code(NAME)
    config = config_of(kind="retinanet")
    detector = build_detector(config, 3)
    with torch.no_grad():
        detector.module.head.classification_head.cls_logits.bias.fill_(-50)
    save_detector(tmp_path / "model.safetensors", detector, card=card_of(config))
    export_detector(tmp_path / "model.safetensors", tmp_path / "own.pt2")
    boxes, scores, *_ = torch.export.load(tmp_path / "own.pt2").module()(torch.rand(1, 3, 64, 64))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


RECIPE = f"""
name: own
task: detection
source: scenes:camera,images=4,size=66x34
target: scenes:fog,images=4,size=66x34
network: {{name: "{NAME}", kind: fcos}}
training:
  steps: 1
  batch_size: 2
  precision: 32-true
  source_transform: {{size: [66, 34]}}
  target_transform: {{size: [66, 34]}}
stages:
  source-only: {{train: source_only}}
  advent: {{train: advent, start: source-only, options: {{discriminator_layers: 2}}}}
  scores: {{evaluate: [advent], pictures: 1}}
"""


def test_recipes_and_commands_take_detectors_of_code(
    tmp_path: Path, nothing_named: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.yaml").write_text(RECIPE)
    recipe, _ = load_recipe(str(tmp_path / "own.yaml"))
    run(recipe, Run(output=tmp_path / "run"))
    row = json.loads((tmp_path / "run/results.json").read_text())["rows"][0]
    checkpoint = tmp_path / "run/2-advent/model.safetensors"
    data = {"data": "scenes:fog,images=4,size=66x34", "split": "val"}
    evaluate_command([checkpoint], protocol_name=None, json=tmp_path / "scores.json", **data)  # type: ignore[arg-type]
    again = json.loads((tmp_path / "scores.json").read_text())["rows"][0]
    assert (again["map"], again["ap"]) == (row["map"], row["ap"])
    label_command(checkpoint, output=tmp_path / "labels", overrides=["threshold=0.1"], **data)  # type: ignore[arg-type]
    labels = json.loads((tmp_path / "labels/annotations/val.json").read_text())
    assert len(labels["images"]) == 4
    assert labels["annotations"]
    assert {each["id"] for each in labels["categories"]} >= {each["category_id"] for each in labels["annotations"]}
    Image.new("RGB", (132, 68), (90, 120, 150)).save(tmp_path / "street.png")
    predict_command(checkpoint, [str(tmp_path / "street.png")], output=tmp_path / "boxes", device="cpu")
    content = json.loads((tmp_path / "boxes/street.json").read_text())
    assert content["detections"]

    # going on from the file: the recipe names the code, or nobody does
    taken = {"taken": {"checkpoint": str(checkpoint)}, "on": {"train": "minent", "start": "taken"}}
    changes = {"stages": {**taken, "scores": {"evaluate": ["on"]}}, "name": "further"}
    named = {**yaml.safe_load(RECIPE), **changes}
    (tmp_path / "further.yaml").write_text(yaml.safe_dump(named, sort_keys=False))
    recipe, _ = load_recipe(str(tmp_path / "further.yaml"))
    run(recipe, Run(output=tmp_path / "further"))
    assert read_detector_card(tmp_path / "further/2-on/model.safetensors").network.options == {"kind": "fcos"}
    del named["network"]
    (tmp_path / "further.yaml").write_text(yaml.safe_dump(named, sort_keys=False))
    recipe, _ = load_recipe(str(tmp_path / "further.yaml"))
    wrapped._allowed.clear()
    with pytest.raises(UserError, match=f"--network {NAME}"):
        run(recipe, Run(output=tmp_path / "unnamed"))
