"""Whole runs of detection recipes: the real SSD-300 on Cityscapes-shaped files, and a small one on the scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from small_detection import NETWORK, TRAINING

from acclimate.cli.data import label_command
from acclimate.cli.models import evaluate_command
from acclimate.cli.predict import predict_command
from acclimate.detection.checkpoint import is_detector, load_detector
from acclimate.detection.config import DetectorConfig
from acclimate.detection.evaluate import detected
from acclimate.detection.networks import build_detector
from acclimate.detection.registry import open_boxes
from acclimate.detection.settings import DetectionTraining
from acclimate.errors import UserError
from acclimate.evaluation.inputs import inputs_named
from acclimate.evaluation.scores import DetectionRow, read_results
from acclimate.models.checkpoint import read_card
from acclimate.models.weights import read_tensors
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe
from acclimate.tasks import predict_boxes
from acclimate.training.schedule import Schedule


def city(root: Path) -> Path:
    """One clear and one foggy scene per split in the shape of Cityscapes, with a car and a person."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        name = f"{split}/bonn/bonn_000000_000001"
        ids = np.full((128, 256), 7, dtype=np.uint16)
        ids[60:100, 40:120] = 26000
        ids[50:110, 180:200] = 24001
        photo = rng.integers(0, 255, (128, 256, 3), dtype=np.uint8)
        for path, picture in (
            (f"leftImg8bit/{name}_leftImg8bit.png", photo),
            (f"leftImg8bit_foggy/{name}_leftImg8bit_foggy_beta_0.02.png", photo // 2 + 100),
            (f"gtFine/{name}_gtFine_instanceIds.png", ids),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / path)
    return root


def results_at(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def results(folder: Path) -> list[dict[str, Any]]:
    return results_at(folder / "results.json")


def test_the_real_ssd300_takes_a_step_of_every_method_and_is_scored(tmp_path: Path) -> None:
    root = city(tmp_path / "data")
    changes = {
        "source": f"cityscapes:{root}",
        "target": f"foggy-cityscapes:{root}",
        "network.weights": None,
        "training.steps": 1,
        "training.batch_size": 1,
        "training.schedule": {},
        "training.workers": 0,
        "training.precision": "32-true",
        # one step of the published learning rate and weight is below the resolution of a float32
        "stages.advent.options.adversarial_weight": 1.0,
        "stages.scores.pictures": 0,
    }
    recipe, _ = load_recipe("foggy-detection", overrides=changes)
    recipe = recipe.model_copy(update={"stages": {k: v for k, v in recipe.stages.items() if k != "oracle"}})
    scores = recipe.stages["scores"].model_copy(update={"evaluate": ["advent"]})
    recipe = recipe.model_copy(update={"stages": {**recipe.stages, "scores": scores}})
    run(recipe, Run(output=tmp_path / "run"))
    rows = results(tmp_path / "run")
    assert [row["name"] for row in rows] == ["advent"]
    for row in rows:
        assert row["data"] == "foggy-cityscapes"
        known = {name for name, value in row["ap"].items() if value is not None}
        assert known == {"person", "car"}
        assert row["map"] == pytest.approx((row["ap"]["person"] + row["ap"]["car"]) / 2)
        assert "miou" not in row
    stages = ("1-source-only", "2-minent", "3-advent")
    weights = [read_tensors(tmp_path / "run" / stage / "model.safetensors") for stage in stages]
    names = ("ssd.head.classification_head.module_list.0.weight", "ssd.head.regression_head.module_list.0.weight")
    assert not torch.equal(weights[0][names[0]], weights[1][names[0]])
    assert not torch.equal(weights[0][names[0]], weights[2][names[0]])
    # entropies say nothing about where boxes are
    assert torch.equal(weights[0][names[1]], weights[1][names[1]])
    assert weights[0]["ssd.head.classification_head.module_list.0.weight"].shape[0] == 4 * 9


SMALL: dict[str, Any] = {
    "name": "toy-detection",
    "task": "detection",
    "source": "scenes:camera,images=4,size=64x64",
    "target": "scenes:fog,images=4,size=64x64",
    "network": NETWORK,
    "training": TRAINING,
    "stages": {
        "source-only": {"train": "source_only"},
        "minent": {"train": "minent", "start": "source-only"},
        "scores": {"evaluate": ["source-only", "minent"], "pictures": 1},
    },
}


def write(folder: Path, **changes: Any) -> str:
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detection")
    recipe, _ = load_recipe(write(folder))
    run(recipe, Run(output=folder / "run"))
    return folder / "run"


def test_results_page_and_pictures(small_run: Path) -> None:
    rows = read_results(small_run / "results.json").rows
    assert all(isinstance(row, DetectionRow) for row in rows)
    page = (small_run / "report.html").read_text()
    assert "mAP in % over" in page
    assert "mIoU" not in page
    index = json.loads((small_run / "3-scores-minent/pictures/index.json").read_text())
    assert index["kind"] == "boxes"
    assert {image["domain"] for image in index["images"]} == {"target", "source"}
    # 2 domains, each with the picture, its ground truth and both models' answers
    assert page.count("data:image/jpeg") >= 8


def test_finished_stages_are_reused(small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, _ = load_recipe(write(tmp_path))
    run(recipe, Run(output=tmp_path / "again", store=small_run.parent / ".stages"))
    assert capsys.readouterr().err.count("already done, reused") == 2
    assert results(tmp_path / "again") == results(small_run)


def test_checkpoints_say_what_they_are_and_repeat_their_detections(small_run: Path, tmp_path: Path) -> None:
    path = small_run / "2-minent/model.safetensors"
    assert is_detector(path)
    with pytest.raises(UserError, match="for detection"):
        read_card(path)
    detector, card = load_detector(path)
    assert (card.classes, card.method, card.input_size) == (("person", "rider", "car", "bicycle"), "minent", (64, 64))
    image = np.zeros((32, 128, 3), dtype=np.uint8)
    first, second = (detected(each, image, size=(64, 64)) for each in (detector, load_detector(path)[0]))
    assert torch.equal(first.boxes, second.boxes)
    assert first.boxes[:, 2].max() <= 128
    assert first.boxes[:, 3].max() <= 32

    Image.fromarray(image).save(tmp_path / "street.png")
    inputs = inputs_named([tmp_path / "street.png"], tmp_path / "out")
    written = list(predict_boxes(path, inputs, output=tmp_path / "out", device="cpu"))
    assert [each.name for each in written] == ["street-boxes.jpg"]
    assert Image.open(written[0]).size == (128, 32)
    content = json.loads((tmp_path / "out/street.json").read_text())
    assert len(content["detections"]) == len(first.scores)
    assert content["detections"][0]["score"] == pytest.approx(first.scores[0].item(), abs=1e-4)


def test_the_commands_know_detectors(small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = small_run / "2-minent/model.safetensors"
    data = "scenes:fog,images=4,size=64x64"
    evaluate_command([checkpoint], data=data, split="val", protocol_name=None, json=tmp_path / "scores.json")
    assert "mAP" in capsys.readouterr().out
    again, recorded = results_at(tmp_path / "scores.json")[0], results(small_run)[1]
    assert (again["map"], again["ap"]) == (recorded["map"], recorded["ap"])
    with pytest.raises(UserError, match="one by one"):
        evaluate_command([checkpoint] * 2, data=data, split="val", protocol_name=None, json=None)
    with pytest.raises(UserError, match="draws boxes"):
        predict_command(checkpoint, [str(tmp_path)], output=tmp_path / "out", entropy=True)
    with pytest.raises(UserError, match="no folder"):
        evaluate_command([checkpoint], data="cityscapes:/nowhere", split="val", protocol_name="voc-area", json=None)


def test_a_detectors_boxes_become_labels_that_the_coco_reader_reads(small_run: Path, tmp_path: Path) -> None:
    root = city(tmp_path / "data")
    checkpoint = small_run / "2-minent/model.safetensors"
    detector, card = load_detector(checkpoint)
    found = detected(detector, open_boxes(f"cityscapes:{root}").image(0), size=card.input_size)
    levels = found.scores.sort(descending=True).values
    high, low = round(float(levels[4]), 4), round(float(levels[9]), 4)
    chosen = [f"threshold={high - 1e-4}", f"crowd_from={low - 1e-4}", "by_class={bicycle: 1.0}"]
    command = {"data": f"cityscapes:{root}", "split": "train", "output": tmp_path / "labels"}
    label_command(checkpoint, overrides=chosen, **command)  # type: ignore[arg-type]
    pictures = root / "leftImg8bit/train"
    again = open_boxes(f"coco:{tmp_path}/labels,images={pictures}", class_space=card.space())
    assert list(again.names) == ["bonn/bonn_000000_000001_leftImg8bit"]
    boxes = again.boxes(0)
    bicycle = card.classes.index("bicycle")
    sure = (found.scores >= high - 1e-4) & (found.classes != bicycle)
    kept = sure | (found.scores >= low - 1e-4)
    assert torch.equal(boxes.classes, found.classes[kept])
    torch.testing.assert_close(boxes.corners, found.boxes[kept], rtol=0, atol=0.02)
    assert torch.equal(boxes.difficult, ~sure[kept])
    with pytest.raises(UserError, match="bicycle"):
        label_command(checkpoint, overrides=["by_class={bicycel: 0.5}"], **command)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="detector"):
        label_command(checkpoint, overrides=[], sweep=True, **command)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no image"):
        open_boxes(f"coco:{tmp_path}/labels,images={tmp_path}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "detecting"}, "detection"),
        ({"network": {"name": "small"}}, "ssd300-vgg16"),
        ({"network": {"name": "light-ssd", "priors": "voc"}}, "priors"),
        ({"stages": {"a": {"train": "dacs"}}}, "detection method"),
        ({"stages": {"a": {"train": "minent", "options": {"entropy_wight": 1}}}}, "entropy_weight"),
        ({"stages": {"a": {"train": "source_only"}, "b": {"translate": "cyclegan"}}}, "translate"),
        (
            {"stages": {"a": {"train": "source_only"}, "b": {"evaluate": [{"name": "x", "of": ["a", "a"]}]}}},
            "one by one",
        ),
        ({"training": {"source_transform": {"scale": [0.5, 1.0]}}}, "scale"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(write(tmp_path, **changes))
    assert words in str(caught.value)


def test_unlabelled_validation_images_and_unknown_protocols_are_told_before_training(tmp_path: Path) -> None:
    root = city(tmp_path / "data")
    (root / "gtFine/val/bonn/bonn_000000_000001_gtFine_instanceIds.png").unlink()
    changes = {"source": f"cityscapes:{root}", "target": f"foggy-cityscapes:{root}"}
    recipe, _ = load_recipe(write(tmp_path, **changes))
    with pytest.raises(UserError, match="without boxes"):
        run(recipe, Run(output=tmp_path / "run"))
    recipe, _ = load_recipe(write(tmp_path, protocol="voc12"))
    with pytest.raises(UserError, match="voc-area"):
        run(recipe, Run(output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_ssds_schedule() -> None:
    settings = DetectionTraining(
        steps=120_000, schedule=Schedule(kind="steps", milestones=(80_000, 100_000), warmup_steps=1000)
    )
    factors = [settings.learning_rate_factor(step) for step in (0, 499, 79_999, 80_000, 100_000)]
    assert factors == pytest.approx([0.001, 0.5, 1.0, 0.1, 0.01])
    assert DetectionTraining(steps=100, schedule=Schedule(power=1.0)).learning_rate_factor(25) == pytest.approx(0.75)


def test_imagenet_weights_reach_all_thirteen_convolutions(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(3)
    published = make_layers(cfgs["D"])
    save_file({f"features.{key}": value for key, value in published.state_dict().items()}, tmp_path / "vgg.safetensors")
    detector = build_detector(DetectorConfig(weights=str(tmp_path / "vgg.safetensors")), 8)
    backbone: Any = detector.module.backbone
    ours = [module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)][:13]
    theirs = [module for module in published if isinstance(module, torch.nn.Conv2d)]
    assert len(theirs) == 13
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.bias, b.bias)


def test_a_set_of_boxes_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind of data with boxes"):
        open_boxes("gta5:/somewhere")
