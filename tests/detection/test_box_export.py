"""An exported detector finds what ours finds, alone, and one that does not is not written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.cli.models import export_command
from acclimate.cli.predict import predict_command
from acclimate.detection.checkpoint import DetectorCard, load_detector
from acclimate.detection.detector import Detection
from acclimate.detection.exporting import OUTPUTS, ExportedDetector, _others, export_detector
from acclimate.errors import UserError
from acclimate.exchange import programs
from acclimate.exchange.programs import claim_program


@pytest.fixture(scope="module")
def exported(detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    path = tmp_path_factory.mktemp("export") / "detector.onnx"
    export_command(detector, path)
    return path


def test_onnx_finds_what_ours_finds_before_and_after_suppression(detector: Path, exported: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    network, card = load_detector(detector)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    boxes, scores, classes, all_boxes, all_scores = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        output = network(images)
    found = network.detections(output, (64, 64))[0]
    assert len(scores) == len(found.scores) > 100
    assert _others(Detection(*map(torch.from_numpy, (boxes, classes, scores))), found) <= 2
    np.testing.assert_allclose(scores, found.scores, atol=1e-5)
    np.testing.assert_allclose(all_scores, output.logits[0].softmax(dim=-1)[:, 1:], atol=1e-6)
    assert all_boxes.shape == (len(output.priors), 4)
    assert 0 <= all_boxes.min() < all_boxes.max() <= 64
    assert DetectorCard.model_validate_json(session.get_modelmeta().custom_metadata_map["acclimate"]) == card


def test_the_program_beside_it_needs_onnxruntime_alone(detector: Path, exported: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    picture = tmp_path / "frame.png"
    Image.fromarray(pixels).resize((133, 97)).save(picture)
    # a stranger's interpreter: neither ours nor PyTorch can be imported
    blocked = "import runpy, sys; sys.modules.update(torch=None, acclimate=None); sys.argv = sys.argv[1:]"
    command = [sys.executable, "-c", f"{blocked}; runpy.run_path(sys.argv[0], run_name='__main__')"]
    words = [*command, str(exported.with_suffix(".py")), str(picture), "-o", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'out/frame'}-boxes.jpg: ")
    predict_command(detector, [str(picture)], output=tmp_path / "ours", device="cpu")
    theirs, ours = (json.loads((tmp_path / f"{name}/frame.json").read_text()) for name in ("out", "ours"))
    assert len(theirs["detections"]) == len(ours["detections"])
    for one, other in zip(theirs["detections"][:5], ours["detections"], strict=False):
        assert one["class"] == other["class"]
        assert one["score"] == pytest.approx(other["score"], abs=2e-4)
        assert one["box"] == pytest.approx(other["box"], abs=0.15)
    with Image.open(tmp_path / "out/frame-boxes.jpg") as drawn:
        assert drawn.size == (133, 97)
    # the same command again may replace what it wrote
    claim_program(exported, checkpoint=detector)


def test_the_page_on_detection_runs(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs/methods/detection.md").read_text(encoding="utf-8")
    block = re.search(r'```python title="onnx"\n(.*?)```', page, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(exported.parent)
    monkeypatch.syspath_prepend(str(exported.parent))
    monkeypatch.delitem(sys.modules, "detector", raising=False)
    exec(compile(block[1], "detection.md", "exec"), {"__name__": "page"})
    assert re.match(r"\(\d+, 4\) \['", capsys.readouterr().out)
    rows = re.findall(r"^\| (`all_boxes`.*?|`boxes`.*?) \|", page, re.MULTILINE)
    assert tuple(name for row in rows for name in re.findall(r"`(\w+)`", row)) == OUTPUTS


def test_one_that_differs_is_not_written(detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = load_detector(detector)
    module = ExportedDetector(network, card.input_size).eval()

    def wrong(*, shifted: float = 0.0, kept: int = 1000) -> Any:
        def run(images: torch.Tensor) -> Any:
            with torch.no_grad():
                boxes, scores, classes, all_boxes, all_scores = module(images)
            return boxes[:kept], scores[:kept], classes[:kept], all_boxes + shifted, all_scores

        return lambda program: (b"file", run)

    monkeypatch.setitem(programs._FORMATS, ".pt2", wrong(shifted=0.1))
    with pytest.raises(UserError, match=r"differs from .* on images of 64x64, more than 0.0001 of the largest coord"):
        export_detector(detector, tmp_path / "model.pt2")
    monkeypatch.setitem(programs._FORMATS, ".pt2", wrong(kept=100))
    with pytest.raises(UserError, match=r"finds 1\d\d other things than ours, of 200 in a picture"):
        export_detector(detector, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert [each.what for each in export_detector(detector, tmp_path / "model.pt2")] == ["score", "coordinate"] * 2
    with pytest.raises(UserError, match="no logits to enlarge"):
        export_command(detector, tmp_path / "other.pt2", enlarge=True)
