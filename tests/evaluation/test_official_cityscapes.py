"""The scores agree with the official Cityscapes evaluation, on the files ``predict --format cityscapes`` writes."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Container
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from acclimate.data.class_spaces import cityscapes_label_ids, class_space
from acclimate.errors import UserError
from acclimate.evaluation.confusion import ConfusionMatrix
from acclimate.evaluation.inputs import inputs_named
from acclimate.evaluation.model import load
from acclimate.evaluation.protocols import protocol
from acclimate.labels import VOID
from acclimate.models.checkpoint import ModelCard, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.stages.predict import Wanted, predict_inputs

GROUND_TRUTH = "{}_gtFine_labelIds.png"


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module of the official script; its settings point at ``tmp_path / "predictions"``."""
    name = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(tmp_path / "predictions"))
    pytest.importorskip(name, reason="the official evaluation (cityscapesscripts) is not installed")
    return importlib.reload(importlib.import_module(name))


def official_scores(module: ModuleType, truths: list[Path]) -> dict[str, float]:
    """IoU of every class, by the official script, which finds the predictions by itself."""
    settings: argparse.Namespace = module.args
    settings.quiet, settings.JSONOutput, settings.predictionWalk = True, False, None
    settings.evalInstLevelScore = False  # it needs instance pictures, and enters no mIoU
    pairs = [module.getPrediction(settings, str(path)) for path in truths]
    results = module.evaluateImgLists(pairs, [str(path) for path in truths], settings)
    return {**results["classScores"], "mean": results["averageScoreClasses"]}


def write_truths(
    folder: Path, names: list[str], *, height: int, width: int, drawn: Container[int] = range(34)
) -> list[Path]:
    """Label ids in blocks; never 31 (train): a class without pixels is wanted. Ids not ``drawn`` are unlabelled."""
    paths = []
    for number, name in enumerate(names):
        ids_drawn = [raw if raw in drawn and raw != 31 else 0 for raw in range(34)]
        blocks = np.random.default_rng([3, number]).permutation(ids_drawn)
        ids = np.kron(blocks[:32].reshape(4, 8), np.ones((height // 4, width // 8), dtype=int)).astype(np.uint8)
        path = folder / GROUND_TRUTH.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids).save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("space_name", ["cityscapes-19", "cityscapes-16"])
def test_our_scores_are_the_official_ones(official: ModuleType, tmp_path: Path, space_name: str) -> None:
    space, names = class_space(space_name), ["frankfurt_000000_000294", "lindau_000003_000019", "munster_000004_000019"]
    # the official evaluation knows no 16 classes: pixels of the other three, void for us, must not be there
    drawn = {raw for raw, train in space.mappings["cityscapes"].items() if train != VOID} | {*range(7)}
    truths = write_truths(tmp_path / "gtFine", names, height=32, width=64, drawn=drawn)
    confusion, ids = ConfusionMatrix(space.classes), np.array(cityscapes_label_ids(space), dtype=np.uint8)
    table = np.array([space.mappings["cityscapes"][raw] for raw in range(35)], dtype=np.uint8)
    (tmp_path / "predictions").mkdir()
    for number, (name, truth) in enumerate(zip(names, truths, strict=True)):
        label = table[np.array(Image.open(truth))]
        generator = np.random.default_rng([4, number])
        noise = generator.integers(0, len(space), label.shape, dtype=np.uint8)
        prediction = np.where((generator.random(label.shape) < 0.4) | (label == VOID), noise, label)
        confusion.add(label, prediction)
        Image.fromarray(ids[prediction]).save(tmp_path / "predictions" / f"{name}_pred_labelIds.png")
    theirs = official_scores(official, truths)
    ours = dict(zip(space.classes, confusion.iou(absent="nanmean"), strict=True))
    for name in space.classes:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6), name
    if space_name == "cityscapes-19":
        assert ours["train"] == 0  # id 31 was left out of the truth, but predicted
        assert confusion.miou(absent="nanmean") == pytest.approx(theirs["mean"], abs=1e-6)
        assert dict(zip(space.classes, confusion.iou(), strict=True)) == {**ours, "train": None}


def test_exported_predictions_are_found_and_scored(official: ModuleType, tmp_path: Path) -> None:
    names = ["frankfurt_000000_000294", "frankfurt_000001_000019"]
    space = class_space("cityscapes-19")
    truths = write_truths(tmp_path / "gtFine", names, height=32, width=64)
    for number, name in enumerate(names):
        pixels = np.random.default_rng([5, number]).integers(0, 256, (32, 64, 3), dtype=np.uint8)
        path = tmp_path / "images" / "frankfurt" / f"{name}_leftImg8bit.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    config = NetworkConfig(name="small")
    network = build_network(config, len(space))
    model = tmp_path / "model.safetensors"
    card = ModelCard(
        network=config, classes=space.classes, colours=space.colours, class_space=space.name, input_size=(32, 16)
    )
    save_network(model, network, card=card)

    def predicted(label_format: str, folder: str) -> list[Path]:
        return list(
            predict_inputs(
                load(model, device="cpu"),
                inputs_named([tmp_path / "images"], tmp_path / folder),
                output=tmp_path / folder,
                wanted=Wanted(label_format=label_format),
            )
        )

    exported, plain = predicted("cityscapes", "predictions"), predicted("train-ids", "plain")
    assert [path.name for path in exported] == [f"{name}_pred_labelIds.png" for name in names]
    confusion, ids = ConfusionMatrix(space.classes), np.array(cityscapes_label_ids(space))
    for path, ordinary, truth in zip(exported, plain, truths, strict=True):
        labels = np.array(Image.open(ordinary))
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("L", (64, 32))
            np.testing.assert_array_equal(np.array(picture), ids[labels])
        table = np.array([space.mappings["cityscapes"][raw] for raw in range(35)], dtype=np.uint8)
        confusion.add(table[np.array(Image.open(truth))], labels)
    theirs = official_scores(official, truths)["mean"]
    assert confusion.miou(absent=protocol("cityscapes-19-official").absent) == pytest.approx(theirs, abs=1e-6)


def test_an_unknown_format_is_told() -> None:
    with pytest.raises(UserError, match="unknown format of label maps 'cityscape'; did you mean 'cityscapes'"):
        Wanted(label_format="cityscape")


def test_only_cityscapes_classes_can_be_submitted() -> None:
    assert cityscapes_label_ids(class_space("cityscapes-13"))[:4] == [7, 8, 11, 19]
    with pytest.raises(UserError, match=r"'sky' of the class space camvid-11|is no class of the Cityscapes evaluation"):
        cityscapes_label_ids(class_space("camvid-11"))


def test_the_absent_class_rules_part_as_the_scripts_do() -> None:
    confusion = ConfusionMatrix(("a", "b", "c"))
    confusion.add(np.array([0, 0, 1], dtype=np.uint8), np.array([0, 2, 1], dtype=np.uint8))
    # IoU: a 1/2, b 1, c absent (one false alarm)
    assert confusion.miou(absent=protocol("cityscapes-19").absent) == pytest.approx(0.75)
    assert confusion.miou(absent=protocol("cityscapes-19-official").absent) == pytest.approx(0.5)
    assert confusion.miou(absent=protocol("cityscapes-19-fada").absent) == pytest.approx(0.5)
    unseen = ConfusionMatrix(("a", "b"))
    unseen.add(np.zeros(2, dtype=np.uint8), np.zeros(2, dtype=np.uint8))
    assert [unseen.miou(absent=rule) for rule in ("skip", "nanmean", "zero")] == [1.0, 1.0, 0.5]
