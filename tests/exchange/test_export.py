"""Exported models say what ours say, at sizes they have not seen, and carry their card."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from acclimate.cli.app import app
from acclimate.data.class_spaces import class_space
from acclimate.errors import UserError
from acclimate.evaluation.model import load
from acclimate.exchange import programs
from acclimate.exchange.exporting import Exported, export_network, make_exportable, program_of, seen
from acclimate.io.outputs import claim_file
from acclimate.models import (
    ModelCard,
    NetworkConfig,
    SegmentationNetwork,
    build_network,
    load_network,
    save_network,
    wrap_network,
)
from acclimate.models.aspp import ASPP
from acclimate.models.decoders import build_decoder
from acclimate.models.decoders.base import LayerNorm2d
from acclimate.models.resnet_caffe import resnet_layers

SPACE = class_space("cityscapes-7")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="small", width=8, multi_level=True, preprocessing="caffe"), 7)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            nn.init.normal_(layer.running_mean, std=0.1)
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    card = ModelCard(
        network=network.config,
        classes=SPACE.classes,
        colours=SPACE.colours,
        class_space=SPACE.name,
        input_size=(80, 64),
    )
    save_network(path, network, card=card)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> tuple[Path, str]:
    """What the command writes as ONNX, and what it prints."""
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    output = checkpoint.parent / "onnx/street.onnx"
    done = CliRunner().invoke(app, ["export", str(checkpoint), "-o", str(output)], catch_exceptions=False)
    assert done.exit_code == 0
    return output, done.stdout


def logits_of(network: SegmentationNetwork, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images).logits


def test_onnx_at_any_size_without_our_code(checkpoint: Path, exported: tuple[Path, str]) -> None:
    import onnxruntime

    output, shown = exported
    assert "1 image of 160x96: largest difference " in shown
    assert "2 images of 107x121: largest difference " in shown
    session = onnxruntime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    network, card = load_network(checkpoint)
    for shape in ((1, 3, 65, 200), (3, 3, 128, 64)):
        images = torch.rand(shape)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        expected = logits_of(network, images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
    assert ModelCard.model_validate_json(session.get_modelmeta().custom_metadata_map["acclimate"]) == card
    assert sorted(each.name for each in output.parent.iterdir()) == ["street.onnx", "street.py"]


def test_the_program_beside_it_needs_onnxruntime_alone(
    checkpoint: Path, exported: tuple[Path, str], tmp_path: Path
) -> None:
    model = exported[0]
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    picture = tmp_path / "frame.png"
    Image.fromarray(pixels).resize((133, 97)).save(picture)
    # a stranger's interpreter: neither ours nor PyTorch can be imported
    blocked = "import runpy, sys; sys.modules.update(torch=None, acclimate=None); sys.argv = sys.argv[1:]"
    command = [sys.executable, "-c", f"{blocked}; runpy.run_path(sys.argv[0], run_name='__main__')"]
    written = tmp_path / "out"
    words = [*command, str(model.with_suffix(".py")), str(picture), "-o", str(written)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{written / 'frame'}-labels.png: ")
    expected = load(checkpoint, device="cpu").predict(picture)
    with Image.open(written / "frame-labels.png") as labels:
        assert (np.array(labels) == expected.labels).mean() > 0.995  # ties may fall either way
        assert (np.array(labels.convert("RGB")) == expected.coloured()).mean() > 0.995
    # our own program may be replaced, somebody else's may not
    claim_file(model.with_suffix(".py"), "runner")
    (tmp_path / "street.py").write_text("print('mine')")
    with pytest.raises(UserError, match=r"street.py exists and is no program for an export"):
        export_network(checkpoint, tmp_path / "street.onnx")


@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (3, 4, 9, 4), (2, 6, 6, 11)])
def test_the_program_enlarges_as_we_do(shape: tuple[int, int, int, int]) -> None:
    from acclimate.exchange.onnx_runner import labels_of, weights

    few_rows, few_columns, rows, columns = shape
    logits = torch.randn(5, few_rows, few_columns, generator=torch.Generator().manual_seed(0))
    enlarged = functional.interpolate(logits[None], size=(rows, columns), mode="bilinear", align_corners=True)[0]
    by_hand = weights(few_rows, rows) @ logits.numpy() @ weights(few_columns, columns).T
    np.testing.assert_allclose(by_hand, enlarged, atol=1e-5)
    np.testing.assert_array_equal(labels_of(logits.numpy(), rows, columns), enlarged.argmax(dim=0))


@pytest.mark.parametrize("enlarge", [False, True])
def test_torch_export_at_any_size(checkpoint: Path, tmp_path: Path, enlarge: bool) -> None:
    comparisons = export_network(checkpoint, tmp_path / "model.pt2", enlarge=enlarge)
    assert [comparison.shape for comparison in comparisons] == [(1, 96, 160), (2, 121, 107)]
    assert all(comparison.difference <= 1e-5 for comparison in comparisons)
    extra = {"acclimate": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    network, card = load_network(checkpoint)
    images = torch.rand(1, 3, 70, 133)
    expected = logits_of(network, images)
    if enlarge:
        expected = functional.interpolate(expected, size=(70, 133), mode="bilinear", align_corners=True)
    torch.testing.assert_close(program.module()(images), expected, rtol=1e-4, atol=1e-5)
    assert json.loads(extra["acclimate"]) == card.model_dump(mode="json")


def test_a_model_that_differs_is_not_written(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_by(factor: float) -> Any:
        return lambda program: (b"file", lambda images: (program.module(images) * factor,))

    monkeypatch.setitem(programs._FORMATS, ".pt2", wrong_by(1.001))
    with pytest.raises(UserError, match=r"differs from .* on images of 160x96, more than 0.0001 of the largest"):
        export_network(checkpoint, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
    assert len(export_network(checkpoint, tmp_path / "model.pt2", tolerance=2e-3)) == 2
    monkeypatch.setitem(programs._FORMATS, ".pt2", wrong_by(float("nan")))
    with pytest.raises(UserError, match=r"differs"):
        export_network(checkpoint, tmp_path / "other.pt2", tolerance=0.5)


def test_wrong_names_and_missing_packages(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"must end in .onnx \(ONNX\) or .pt2"):
        export_network(checkpoint, tmp_path / "model.tflite")
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else object())  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"needs onnxscript; install them with pip install 'acclimate\[export\]'"):
        export_network(checkpoint, tmp_path / "model.onnx")


@pytest.mark.parametrize("size", [(57, 72), (64, 64), (33, 45), (58, 61)])
def test_what_replaces_the_max_pooling_is_the_same(size: tuple[int, int]) -> None:
    layers = resnet_layers((1, 1, 1, 1))
    maps = torch.randn(1, 4, *size)
    expected = layers["maxpool"](maps)
    make_exportable(layers)
    assert not any(isinstance(layer, nn.MaxPool2d) and layer.ceil_mode for layer in layers.modules())
    assert torch.equal(layers["maxpool"](maps), expected)


@pytest.mark.parametrize("size", [(1, 5), (6, 7), (12, 9)])
def test_what_replaces_adaptive_pooling_is_the_same(size: tuple[int, int]) -> None:
    pools = nn.ModuleList(nn.AdaptiveAvgPool2d(parts) for parts in (1, 2, 3, 6))
    maps = torch.randn(2, 4, *size)
    expected = [pool(maps) for pool in pools]
    make_exportable(pools)
    for pool, wanted in zip(pools, expected, strict=True):
        assert not isinstance(pool, nn.AdaptiveAvgPool2d)
        torch.testing.assert_close(pool(maps), wanted)


def test_networks_that_pad_their_images_are_followed_at_every_size() -> None:
    torch.manual_seed(0)
    network = wrap_network(nn.Conv2d(3, 4, 8, stride=8), classes=4, multiple=16).eval()
    module = Exported(network, enlarge=False)
    images, free = seen()
    program = torch.export.export(module, (images,), dynamic_shapes={"images": free}).module()
    for shape in ((1, 3, 96, 160), (2, 3, 121, 107), (1, 3, 64, 81)):
        images = torch.rand(shape)
        torch.testing.assert_close(program(images), logits_of(network, images))


class NoCard(BaseModel):
    """Of a module that is no checkpoint's."""


class NormedPyramid(nn.Module):
    """What UPerNet sees of ConvNeXt: maps at four strides, normalised with their channels last."""

    def __init__(self) -> None:
        super().__init__()
        strides = (4, 8, 16, 32)
        self.maps = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 4, s, stride=s), LayerNorm2d(4)) for s in strides)
        self.decoder = build_decoder("upernet", [4] * 4, strides, 3, options={"channels": 4})

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.decoder([level(images) for level in self.maps])
        return logits


def test_upernet_over_convnext_is_followed_at_every_size() -> None:
    if "prefer_deferred_runtime_asserts_over_guards" not in inspect.signature(torch.export.export).parameters:
        pytest.skip("older releases of PyTorch insist on a proof that they cannot find")
    torch.manual_seed(0)
    network = wrap_network(NormedPyramid(), classes=3, multiple=32).eval()
    module = Exported(network, enlarge=False)
    make_exportable(module)
    program = programs.exported(program_of(module, NoCard())).module()
    for shape in ((1, 3, 96, 160), (2, 3, 121, 107)):
        images = torch.rand(shape)
        torch.testing.assert_close(program(images), logits_of(network, images))


def test_the_published_network_is_followed_at_every_size() -> None:
    """Its max-pooling rounds up and its head is folded on processors: both stood in the way. On the meta device."""
    config = NetworkConfig(name="deeplab-v2-resnet101", multi_level=True, branches=2)
    with torch.device("meta"):
        module = Exported(build_network(config, 19), enlarge=True)
        make_exportable(module)
        images, free = seen()
        program = torch.export.export(module, (images,), dynamic_shapes={"images": free}, strict=False)
        assert program.module()(torch.zeros(1, 3, 71, 133)).shape == (1, 19, 71, 133)
    assert all(not head.foldable for head in module.modules() if isinstance(head, ASPP))
