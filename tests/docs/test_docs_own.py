"""What the pages "Your own network" and "Your own method" show is done, with less data and fewer steps."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch
from markdown_pages import OWN_PAGES, Block, agrees, blocks, commands

from acclimate.cli.app import main
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.config import DetectorConfig
from acclimate.detection.networks import build_detector
from acclimate.errors import UserError
from acclimate.models import NetworkConfig, build_network, load_network, read_card, wrapped

SMALLER = shlex.split(
    "--source scenes:render,images=4,size=66x34 --target scenes:camera,images=4,size=66x34 "
    "--set training.steps=2 --set training.batch_size=2 --set training.precision=32-true "
    "--set training.source_transform.size=[66,34] --set training.target_transform.size=[66,34]"
)


def done(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that a command prints."""
    monkeypatch.setattr(sys, "argv", [*words, *SMALLER] if words[1] == "run" else words)
    monkeypatch.setattr(wrapped, "_allowed", set())  # as in a new process
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert not end.value.code, err
    return out.splitlines()


@pytest.mark.parametrize("block", [b for page in OWN_PAGES[:2] for b in blocks(page, "console")], ids=str)
def test_commands_do_what_the_page_says(
    block: Block, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands(block):
        if "export" in command.words:
            pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
        printed = done(command.words, monkeypatch, capsys)
        assert not command.shown or agrees(command.shown, printed), printed
    if "own-detector.yaml" in block.text:
        assert_boxes_are_the_detectors(workspace)
    elif block.page == OWN_PAGES[0]:
        assert len(list((workspace / "predictions").rglob("*.png"))) >= 3
        assert_logits_are_the_networks(workspace)
    else:
        results = json.loads((workspace / "runs/stronger/results.json").read_text(encoding="utf-8"))
        assert [row["name"] for row in results["rows"]] == ["source-only", "confidence"]
        # another weight is another model beside the same source-only
        assert len(list((workspace / "runs/.stages").glob("train-*"))) == 3


def assert_logits_are_the_networks(workspace: Path) -> None:
    """What was exported says what the network says; a checkpoint alone imports no code."""
    import onnxruntime

    name = "python:my_package.networks:own"
    checkpoint = workspace / "runs/own-network/3-esl/model.safetensors"
    assert read_card(checkpoint).network.model_dump() == {"name": name, "options": {"width": 24}}
    wrapped._allowed.clear()
    with pytest.raises(UserError, match=f"--network {name}"):
        load_network(checkpoint)
    network, _ = load_network(checkpoint, network=name)
    images = torch.rand(1, 3, 70, 101)
    session = onnxruntime.InferenceSession(str(workspace / "own.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": images.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), network(images).logits, rtol=1e-4, atol=1e-5)


def assert_boxes_are_the_detectors(workspace: Path) -> None:
    """Scores and boxes are there; a checkpoint alone imports no code."""
    results = json.loads((workspace / "runs/own-detector/results.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in results["rows"]] == ["source-only", "minent"]
    assert len(list((workspace / "boxes").rglob("*-boxes.jpg"))) >= 3
    name = "python:my_package.detectors:retinanet"
    checkpoint = workspace / "runs/own-detector/2-minent/model.safetensors"
    wrapped._allowed.clear()
    with pytest.raises(UserError, match=f"--network {name}"):
        load_detector(checkpoint)
    detector, card = load_detector(checkpoint, network=name)
    assert card.network.options == {"smallest": 12}
    found = json.loads(next((workspace / "boxes").rglob("0*.json")).read_text(encoding="utf-8"))["detections"]
    assert {each["class"] for each in found} <= set(card.classes)
    assert detector.family == "retinanet"


def test_detectors_of_the_package_are_built(workspace: Path) -> None:
    detector = build_detector(DetectorConfig(name="python:my_package.coco:fcos"), 3)
    assert detector.family == "fcos"
    assert detector.information_channels() == 6


def test_networks_of_the_package_are_built(workspace: Path) -> None:
    for values in ({"name": "my-network", "width": 4}, {"name": "python:my_package.unet:unet"}):
        network = build_network(NetworkConfig.parse(values), 3).eval()
        assert network(torch.rand(1, 3, 40, 50)).logits.shape[:2] == (1, 3)
        assert network.config.name == values["name"]
        assert network.heads()
