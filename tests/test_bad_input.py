"""What a newcomer may do wrong: exit status 2, one message that names the file or key and the remedy, no traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.cli import app as cli
from acclimate.data.class_spaces import class_space
from acclimate.models.checkpoint import ModelCard, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder data set of two pictures with labels, and a checkpoint with the scenes' 14 classes."""
    for name in ("a", "b"):
        for folder, shape in (("images", (32, 64, 3)), ("labels", (32, 64))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(np.zeros(shape, dtype=np.uint8)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "data.yaml").write_text(
        "images: {train: images, val: images}\nlabels: {train: labels, val: labels}\n"
        "classes: [road, sky]\nids: {0: road, 1: sky}\n"
    )
    (tmp_path / "empty").mkdir()
    names = ", ".join(class_space("scenes").classes)
    (tmp_path / "none.yaml").write_text(f"images: empty\nclasses: [{names}]\nname: scenes\n")
    (tmp_path / "other.yaml").write_text("images: images\nlabels: labels\nclasses: [gravel, sand]\n")
    (tmp_path / "bare.yaml").write_text("images: images\nclasses: [road, sky]\n")
    space = class_space("scenes")
    network = build_network(NetworkConfig(name="small", width=16), len(space))
    card = ModelCard(
        network=network.config,
        classes=space.classes,
        colours=space.colours,
        class_space=space.name,
        input_size=(64, 32),
    )
    save_network(tmp_path / "model.safetensors", network, card=card)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Runs the command line and returns its one message."""
    monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    text = capsys.readouterr().err
    assert exit_.value.code == 2, text
    assert "Traceback" not in text
    assert text.count("error:") == 1
    return text


COMPARE = ("run", "compare", "--source", "folder:data.yaml", "--target", "folder:data.yaml", "-o", "runs/x")
SCENES = "scenes:camera,images=2,size=64x32"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("check", "gta5:nowhere"), ["nowhere"]),
        (("check", "scnes:camera"), ["did you mean 'scenes'"]),
        (("run", "demo", "--set", "training.stpes=4", "-o", "runs/x"), ["stpes", "did you mean 'steps'"]),
        (("run", "demo", "--set", "stages.advent.options.weight=4", "-o", "runs/x"), ["weight"]),
        (("run", "advnt", "-o", "runs/x"), ["did you mean"]),
        (("run", "compare", "-o", "runs/x"), ["--source"]),
        (("run", "demo", "--seeds", "1;2", "-o", "runs/x"), ["--seeds", "0,1,2"]),
        (("evaluate", "nothing.safetensors", "--data", SCENES), ["nothing.safetensors"]),
        (("evaluate", "data.yaml", "--data", SCENES), ["data.yaml"]),
        (("evaluate", "model.safetensors", "--data", "folder:other.yaml", "--split", "train"), ["gravel"]),
        (("predict", "model.safetensors", "empty", "-o", "out"), ["empty", "no image"]),
        (("predict", "model.safetensors", "gone.png", "-o", "out"), ["gone.png"]),
        (("predict", "model.safetensors", "images", "-o", "images"), ["images lies within data that are read"]),
        (("predict", "model.safetensors", "images", "-o", "images/out"), ["images/out lies within data that are read"]),
        (("predict", "model.safetensors", "images/a.png", "-o", "./images"), ["images holds what is read"]),
        (("import", "model.safetensors", "-o", "again.safetensors"), ["model.safetensors", "already"]),
        (
            (
                "translate",
                "--translator",
                "histogram",
                "--source",
                "folder:data.yaml",
                "--target",
                "scenes:camera,images=2",
                "-o",
                ".",
            ),
            ["holds what is read"],
        ),
        (("label", "model.safetensors", "--data", SCENES, "--set", "confidnce=softmax"), ["confidence"]),
        (("label", "model.safetensors", "--data", "folder:other.yaml", "-o", "out"), ["gravel"]),
        (("label", "model.safetensors", "--data", "folder:none.yaml", "-o", "out"), ["none.yaml", "no images"]),
        (("label", "data.yaml", "--data", SCENES, "-o", "out"), ["data.yaml"]),
        (
            ("run", "compare", "--source", "folder:bare.yaml", "--target", "folder:data.yaml", "-o", "runs/x"),
            ["labels"],
        ),
        (("stats", "folder:data.yaml", "--split", "tran"), ["tran"]),
        (("report", "empty"), ["empty"]),
    ],
    ids=lambda value: "-".join(value[:2]).replace("/", "_") if isinstance(value, tuple) else "",
)
def test_wrong_commands(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    expected: list[str],
) -> None:  # fmt: skip
    message = failure(capsys, monkeypatch, *arguments)
    for part in expected:
        assert part in message


def test_an_unknown_label_value_names_file_and_value(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.full((32, 64), 77, dtype=np.uint8)).save(here / "labels/a.png")
    message = failure(capsys, monkeypatch, *COMPARE)
    assert "a.png" in message
    assert "77" in message


def test_an_image_without_its_label_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "labels/b.png").unlink()
    assert "b.png" in failure(capsys, monkeypatch, *COMPARE)


def test_a_label_of_another_size_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((16, 64), dtype=np.uint8)).save(here / "labels/a.png")
    message = failure(capsys, monkeypatch, *COMPARE)
    assert "a.png" in message
    assert "64x16" in message


def test_an_unreadable_image_is_named_when_labelling_and_nothing_finished_is_lost(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ", ".join(class_space("scenes").classes)
    (here / "plain.yaml").write_text(f"images: images\nclasses: [{names}]\nname: scenes\n")
    (here / "images/b.png").write_bytes(b"not an image")
    message = failure(
        capsys, monkeypatch, "label", "model.safetensors", "--data", "folder:plain.yaml", "-o", "out"
    )  # fmt: skip
    assert "b.png" in message
    assert not (here / "out/manifest.json").exists()


def test_pseudo_labels_of_equal_names_in_two_folders_stay_apart(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for drive, grey in (("one", 0), ("two", 255)):
        (here / "drives" / drive).mkdir(parents=True)
        Image.fromarray(np.full((32, 64, 3), grey, dtype=np.uint8)).save(here / "drives" / drive / "0.png")
    names = ", ".join(class_space("scenes").classes)
    (here / "plain.yaml").write_text(f"images: drives\nclasses: [{names}]\nname: scenes\n")
    monkeypatch.setattr(
        sys, "argv", ["acclimate", "label", "model.safetensors", "--data", "folder:plain.yaml", "-o", "o"]
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert sorted(path.relative_to(here / "o/labels").as_posix() for path in (here / "o/labels").rglob("*.png")) == [
        "one/0.png",
        "two/0.png",
    ]
