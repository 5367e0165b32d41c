"""Classes are matched by their names: in whatever order data, checkpoints and recipes list them, nothing changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from acclimate.cli.app import app
from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import class_space
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.models.checkpoint import ModelCard, load_network, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.network import SegmentationNetwork
from acclimate.models.registry import build_network
from acclimate.models.reordered import Reordered, reorder_heads
from acclimate.models.wrapped import wrap_network
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

NAMES = ("road", "sky", "car", "tree")
COLOURS = ((128, 64, 128), (70, 130, 180), (0, 0, 142), (107, 142, 35))
TURNED = ("tree", "road", "car", "sky")
ORDER = [NAMES.index(name) for name in TURNED]


def network_of(config: dict[str, Any], classes: int = 4) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig.model_validate(config), classes).eval()


def write_model(path: Path, names: Sequence[str]) -> Path:
    """The same model, whatever the order of its classes."""
    network = network_of({"name": "small", "width": 16})
    if tuple(names) != NAMES:
        reorder_heads(network, [NAMES.index(name) for name in names], path)
    colours = [COLOURS[NAMES.index(name)] for name in names]
    card = ModelCard(
        network=network.config, classes=tuple(names), colours=tuple(colours), class_space="street", input_size=(64, 32)
    )
    save_network(path, network, card=card)
    return path


def write_set(folder: Path, names: Sequence[str]) -> str:
    """Three pictures with labels whose ids are positions in NAMES; the description lists the classes as ``names``."""
    rng = np.random.default_rng(0)
    for number in range(3):
        for kind, shape, most in (("images", (32, 64, 3), 256), ("labels", (32, 64), 4)):
            path = folder / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, most, shape, dtype=np.uint8)).save(path)
    ids = ", ".join(f"{raw}: {name}" for raw, name in enumerate(NAMES))
    (folder / "dataset.yaml").write_text(
        f"name: street\nimages: {{train: images, val: images}}\nlabels: {{train: labels, val: labels}}\n"
        f"classes: [{', '.join(names)}]\nids: {{{ids}}}\n"
    )
    return f"folder:{folder}"


def command(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def scores(tmp_path: Path, models: Sequence[Path], data: str, *more: str) -> dict[str, float]:
    """IoU by class name."""
    out = tmp_path / f"scores-{len(list(tmp_path.glob('scores-*')))}.json"
    command("evaluate", *map(str, models), "--data", data, "--json", str(out), *more)
    found: dict[str, float] = json.loads(out.read_text())["rows"][0]["iou"]
    return found


@pytest.mark.parametrize(
    "config",
    [
        {"name": "small", "width": 16},
        {"name": "deeplab-v2", "backbone": "torchvision/resnet18", "multi_level": True},
        {"name": "encoder-decoder", "backbone": "timm/resnet18", "decoder": "fpn"},
    ],
    ids=lambda config: config["name"],
)
def test_weights_are_reordered_in_every_level(config: dict[str, Any], tmp_path: Path) -> None:
    network = network_of(config)
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before = network(images)
        asked = Reordered(network, ORDER)(images)
        reorder_heads(network, ORDER, tmp_path)
        after = network(images)
    for name, level in before.levels.items():
        torch.testing.assert_close(after.levels[name].logits, level.logits[:, ORDER], rtol=1e-4, atol=1e-5)
        assert torch.equal(asked.levels[name].logits, level.logits[:, ORDER])
        assert not torch.allclose(level.logits, level.logits[:, ORDER])


def test_weights_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    hidden_as_wide_as_classes = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    with pytest.raises(UserError, match=r"model.safetensors has the same classes in another order, .* list"):
        reorder_heads(wrap_network(hidden_as_wide_as_classes, classes=4), ORDER, tmp_path / "model.safetensors")


def test_scores_do_not_depend_on_any_order(tmp_path: Path) -> None:
    plain, turned = write_model(tmp_path / "a.safetensors", NAMES), write_model(tmp_path / "b.safetensors", TURNED)
    data, other = write_set(tmp_path / "set", NAMES), write_set(tmp_path / "other", TURNED)
    wanted = scores(tmp_path, [plain], data)
    assert len(set(wanted.values())) == 4
    for models, spec in (([turned], data), ([plain], other), ([turned], other), ([plain, turned], data)):
        assert scores(tmp_path, models, spec) == pytest.approx(wanted, abs=1e-3)
    # a protocol named after the data's own classes has their order
    assert scores(tmp_path, [turned], data, "--protocol", "street") == pytest.approx(wanted, abs=1e-3)


def test_other_classes_are_still_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "a.safetensors", NAMES)
    spec = write_set(tmp_path / "set", ("road", "sky", "car", "tram"))
    text = (tmp_path / "set/dataset.yaml").read_text().replace("3: tree", "3: tram")
    (tmp_path / "set/dataset.yaml").write_text(text)
    done = CliRunner().invoke(app, ["evaluate", str(model), "--data", spec])
    assert "its class 'tram' is not in the class space street" in str(done.exception)
    done = CliRunner().invoke(app, ["evaluate", str(model), "--data", spec, "--protocol", "street"])
    assert "but the 4 classes of 'street' (road, sky, car, tram) were asked for" in str(done.exception)


def test_pseudo_labels_do_not_depend_on_any_order(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", NAMES)
    found = {}
    for name, order in (("a", NAMES), ("b", TURNED)):
        model = write_model(tmp_path / f"{name}.safetensors", order)
        command("label", str(model), "--data", data, "-o", str(tmp_path / name), "--set", "confidence=softmax")
        labels = [np.array(Image.open(path)) for path in sorted((tmp_path / name / "labels").glob("*.png"))]
        table = np.array([NAMES.index(each) for each in order] + [255] * 252)
        found[name] = np.stack([table[label] for label in labels])
    assert (found["a"] == found["b"]).mean() > 0.999
    assert len(np.unique(found["a"])) >= 3


RECIPE = """
name: goes-on
network: {name: small, width: 16}
training:
  steps: 1
  batch_size: 1
  precision: 32-true
  optimizer: {learning_rate: 0.000001}
  source_transform: {size: [64, 32]}
  target_transform: {size: [64, 32]}
stages:
  given: {checkpoint: MODEL}
  trained: {train: source_only, start: given}
  scores: {evaluate: [given, trained], pictures: 1, label_free: 2}
"""


def test_a_run_goes_on_from_a_checkpoint_in_another_order(tmp_path: Path) -> None:
    rows = {}
    for name, order in (("a", NAMES), ("b", TURNED)):
        model = write_model(tmp_path / f"{name}.safetensors", order)
        (tmp_path / f"{name}.yaml").write_text(RECIPE.replace("MODEL", str(model)))
        source, target = write_set(tmp_path / "source", NAMES), write_set(tmp_path / "target", TURNED)
        recipe, origins = load_recipe(str(tmp_path / f"{name}.yaml"), overrides={"source": source, "target": target})
        given, trained = run(recipe, Run(output=tmp_path / name), origins=origins)
        assert load_network(tmp_path / name / "2-trained/model.safetensors")[1].classes == NAMES
        rows[name] = (given, trained)
    for first, second in zip(rows["a"], rows["b"], strict=True):
        assert first.iou == pytest.approx(second.iou, abs=1e-3)
        assert first.label_free == pytest.approx(second.label_free, abs=1e-3)


def test_built_in_kinds_are_read_in_classes_of_ones_own(tmp_path: Path) -> None:
    scenes = class_space("scenes")
    turned = ClassSpace("mine", scenes.classes[::-1], scenes.colours[::-1])
    spec = "scenes:camera,images=2,size=64x32"
    plain, other = open_dataset(spec, split="val"), open_dataset(spec, split="val", class_space=turned)
    table = np.array([*range(len(scenes))[::-1], *[255] * (256 - len(scenes))])
    np.testing.assert_array_equal(table[other.label(0)], plain.label(0))
    # CamVid's ids 0 sky, 3 road, 8 car, 11 void
    for name, shape in (("train/a.png", (4, 4, 3)), ("trainannot/a.png", (4, 4))):
        (tmp_path / name).parent.mkdir()
        pixels = np.zeros(shape, dtype=np.uint8)
        if len(shape) == 2:
            pixels[0], pixels[1], pixels[2] = 3, 8, 11
        Image.fromarray(pixels).save(tmp_path / name)
    own = ClassSpace("mine", ("car", "sky"), ((0, 0, 1), (0, 0, 2)))
    camvid = open_dataset(f"camvid:{tmp_path}", class_space=own)
    assert camvid.label(0)[:, 0].tolist() == [255, 0, 255, 1]
    with pytest.raises(UserError, match=r"matched by name, but 'cart' is none of sky, .*; did you mean 'car'\?"):
        open_dataset(f"camvid:{tmp_path}", class_space=ClassSpace("mine", ("cart",), ((0, 0, 1),))).label(0)


def test_known_ids_with_classes_of_ones_own(tmp_path: Path) -> None:
    for name, pixels in (
        ("images/a.png", np.zeros((4, 4, 3))),
        ("labels/a.png", np.repeat([[7], [26], [23], [0]], 4, 1)),
    ):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
    yaml = "images: images\nlabels: labels\nclasses: [car, road]\nids: cityscapes\n"
    (tmp_path / "dataset.yaml").write_text(yaml)
    assert open_dataset(f"folder:{tmp_path}").label(0)[:, 0].tolist() == [1, 0, 255, 255]
    (tmp_path / "dataset.yaml").write_text(yaml.replace("road", "street"))
    with pytest.raises(UserError, match="cityscapes data do not have all of its classes; write the ids out"):
        open_dataset(f"folder:{tmp_path}").label(0)
    (tmp_path / "dataset.yaml").write_text(yaml.replace("ids: cityscapes", "ids: citiscapes"))
    with pytest.raises(UserError, match=r"unknown kind of ids .*'citiscapes'; did you mean 'cityscapes'"):
        open_dataset(f"folder:{tmp_path}").label(0)
