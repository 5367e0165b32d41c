"""The pages "Your own data" and "Using models" do what they show, with less data and fewer steps."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from markdown_pages import OWN_DATA, ROOT, Command, agrees, blocks, commands
from PIL import Image

from acclimate.cli.app import main
from acclimate.data.class_spaces import class_space
from acclimate.models import ModelCard, NetworkConfig, build_network, save_network

SMALLER = shlex.split(
    "--set 'network={name: small, width: 16}' --set training.steps=2 --set training.precision=32-true "
    "--set training.source_transform.size=[64,36] --set training.target_transform.size=[64,36]"
)
USING_MODELS = ROOT / "docs/using-models.md"


def ended(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[str]]:
    """Exit status, and the lines that a command prints, its error included."""
    monkeypatch.setattr(sys, "argv", [*words, *SMALLER] if words[1] == "run" else words)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out.splitlines() + [line for line in err.splitlines() if line.startswith("error:")]


def shown(page: Path) -> list[Command]:
    """The commands of a page in order, without those that need a mistake to be made first."""
    return [each for block in blocks(page, "console") if not block.mark for each in commands(block)]


def test_own_data_from_the_first_command_to_the_last(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in shown(OWN_DATA):
        status, printed = ended(command.words, monkeypatch, capsys)
        wrong = any(line.startswith("error:") for line in command.shown)
        assert status == (2 if wrong else 0), (command.words, printed)
        assert not command.shown or agrees(command.shown, printed), (command.words, printed)
    assert len(list((workspace / "predictions/overlay").rglob("*.jpg"))) == 3
    assert len(list((workspace / "looked-at/confidence").rglob("*.png"))) == 3
    assert (workspace / "runs/mine/report.html").is_file()


@pytest.fixture
def using(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader who has run the demo, with pictures and a video."""
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")
    space = class_space("scenes")
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="small", width=8), len(space))
    card = ModelCard(
        network=network.config, classes=space.classes, colours=space.colours, class_space="scenes", input_size=(128, 64)
    )
    save_network(tmp_path / "runs/demo/4-advent/model.safetensors", network, card=card)
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    pixels = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "frames/0001.jpg")
    with av.open(str(tmp_path / "drive.mp4"), "w") as video:
        stream = video.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(5):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        video.mux(stream.encode(None))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_using_models(using: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    for command in shown(USING_MODELS):
        assert ended(command.words, monkeypatch, capsys)[0] == 0, command.words
    for kind in ("ids/0001.png", "overlay/0001.jpg", "confidence/0001.png", "overlay/drive.mp4", "legend.png"):
        assert (using / "predictions" / kind).is_file()
    assert len(list((using / "single/colours/drive").iterdir())) == 3
    monkeypatch.syspath_prepend(str(using))
    monkeypatch.delitem(sys.modules, "street", raising=False)
    printed = {}
    for block in blocks(USING_MODELS, "python"):
        exec(compile(block.text, str(block), "exec"), {"__name__": "page"})
        printed[block.title] = capsys.readouterr().out.splitlines()
    assert printed["frames"][0].startswith("(540, 960) ")
    assert len(printed["video"]) == 5
    assert printed["onnx"][0].startswith("(540, 960) ")
