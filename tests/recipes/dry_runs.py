"""Dry runs of shipped recipes: the full networks without memory, and every stage for one step at small size.

What is small: pictures (64 pixels high, in the recipe's own proportions), steps (one), widths, data (fixtures in the
exact formats). What is the recipe's own: stages and their order, methods and their options, transforms, protocol,
class space.
"""

from __future__ import annotations

import copy
import csv
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import formats

from acclimate.data.class_spaces import class_space
from acclimate.data.registry import default_class_space
from acclimate.detection.classes import CITYSCAPES_THINGS, SCENES_THINGS
from acclimate.detection.networks import build_detector
from acclimate.evaluation.protocols import protocol
from acclimate.evaluation.scores import Row
from acclimate.io.files import read_json
from acclimate.models.registry import build_network
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import EvaluateStage, LabelStage, Recipe, TrainStage, TranslateStage, load_recipe
from acclimate.stages import label, label_results
from acclimate.tasks import task_named

UNSERVED: dict[str, str] = {}
"""Recipes that the fixtures cannot serve, each with the reason."""

HEIGHT = 64
"""Of the target's pictures in a dry run."""

NARROW: dict[str, Any] = {
    "discriminator_width": 4,
    "discriminator_layers": 3,
    "gather_steps": 0,
    "translator_width": 4,
    "perceptual_width": 4,
    "perceptual_weights": None,
}
"""Options of methods that only make them larger, or longer, or have to be downloaded."""

HEADS = ("multi_level", "twin_heads")
"""Options of networks that the small stand-in keeps."""


@dataclass(frozen=True)
class Family:
    """Recipes of one pair of data sets: how their names begin, and the changes that point them at fixtures."""

    prefix: str
    source: str | None = None
    target: str | None = None
    changes: Mapping[str, Any] | None = None


FAMILIES = (
    Family("gta5-", "gta5", "cityscapes"),
    Family("synthia-mapillary-", "synthia", "mapillary"),
    Family("synthia-", "synthia", "cityscapes"),
    Family("cityscapes-acdc-", "cityscapes", "acdc"),
    Family("cityscapes-dark-zurich-", "cityscapes", "dark-zurich"),
    Family("carla-camvid", "carla", "camvid"),
    Family("carla-iddlite", "carla", "idd-lite"),
    Family("camvid-iddlite", "camvid", "idd-lite"),
    Family("foggy-", "cityscapes", "foggy-cityscapes"),
    Family("adapt", "folder", "folder"),
    Family("compare", "folder", "folder"),
    Family("scenes-detection-rain", changes={"evaluation": "scenes:rain,images=2,size=128x64"}),
    Family("scenes-detection", changes={"evaluation": "scenes:fog,images=2,size=128x64"}),
    Family("scenes"),
    Family("demo"),
)
"""The first whose prefix fits counts."""


def family(name: str) -> Family:
    """The fixtures of a shipped recipe.

    Raises:
        LookupError: none fits; add it to ``FAMILIES``, or the recipe to ``UNSERVED`` with the reason.
    """
    for candidate in FAMILIES:
        if name.startswith(candidate.prefix):
            return candidate
    raise LookupError(f"no fixture data for recipe {name}: add its prefix to FAMILIES, or it to UNSERVED with a reason")


# --- the full network --------------------------------------------------------------------------------------------


def class_count(recipe: Recipe) -> int:
    """Classes of the recipe's networks."""
    if recipe.task == "detection":
        return len(CITYSCAPES_THINGS if recipe.source is None else SCENES_THINGS)
    if recipe.protocol is not None:
        return len(class_space(protocol(recipe.protocol).class_space))
    return 19 if recipe.source is None else len(default_class_space(recipe.source))


def full_networks(recipe: Recipe) -> dict[str, int]:
    """Parameters of the network of every ``train`` stage, built in full on the meta device, by stage."""
    counts: dict[str, int] = {}
    built: dict[str, int] = {}
    for name, stage in recipe.stages.items():
        if not isinstance(stage, TrainStage):
            continue
        config = recipe.network_config(stage)
        config = config.model_copy(update={"weights": None}) if recipe.task == "detection" else config.without_weights()
        key = repr(config)
        if key not in built:
            with torch.device("meta"):
                network: torch.nn.Module = (
                    build_detector(config, class_count(recipe))
                    if recipe.task == "detection"
                    else build_network(config, class_count(recipe))
                )
            built[key] = sum(parameter.numel() for parameter in network.parameters())
        counts[name] = built[key]
    return counts


# --- one small step ----------------------------------------------------------------------------------------------


def small(name: str, data: Path) -> Recipe:
    """The recipe with a small stand-in network, one step per stage, small pictures and fixture data from ``data``."""
    recipe, _ = load_recipe(name)
    content = copy.deepcopy(recipe.model_dump(mode="json", by_alias=False))
    place = family(name)
    detection = recipe.task == "detection"
    content["source"] = _fixture(place.source, data, boxed=detection) if place.source else _few(recipe.source)
    content["target"] = _fixture(place.target, data, boxed=detection) if place.target else _few(recipe.target)
    content |= dict(place.changes or {})
    factor = HEIGHT / (recipe.prediction_size() or (128, 64))[1]
    if recipe.input_size:
        content["input_size"] = _scaled(recipe.input_size, factor)
    content["network"] = _small_network(content["network"], detection=detection)
    content["training"] = _short(content["training"], factor, detection=detection)
    content["translation"] = _small_translation(content["translation"], factor)
    for stage in content["stages"].values():
        if "train" in stage:
            stage["network"] = {key: value for key, value in stage["network"].items() if key in HEADS}
            options = task_named(recipe.task).method(stage["train"]).Options.model_fields
            stage["options"] |= {key: value for key, value in NARROW.items() if key in options}
            stage["training"] = _short(stage["training"], factor, detection=detection, shared=False)
        elif "translate" in stage:
            stage |= _small_translation(stage, factor, shared=False)
        elif "evaluate" in stage:
            stage["pictures"] = 0
    return Recipe.model_validate(content)


def dry_run(name: str, data: Path) -> list[Row]:
    """Runs every stage of the small recipe; what is finished already, for another recipe, is not done again.

    Raises:
        AssertionError: a stage did not leave behind what its verb promises.
    """
    recipe = small(name, data)
    output = data / "runs" / name
    # curves over twenty portions and their figure have tests of their own, and cost more than all the steps together
    with mock.patch.object(label_results, "PORTIONS", (1.0,)), mock.patch.object(label, "write_figure"):
        rows = run(recipe, Run(output=output, store=data / "stages"))
    for number, (key, stage) in enumerate(recipe.stages.items(), start=1):
        folder = output / f"{number}-{key}"
        if isinstance(stage, TrainStage):
            assert (folder / "model.safetensors").is_file(), f"{name}: {key} left no checkpoint"
            _check_history(folder / "history.csv", f"{name}: {key}")
        elif isinstance(stage, TranslateStage):
            assert read_json(folder / "translation.json"), f"{name}: {key} left no record of its translation"
        elif isinstance(stage, LabelStage):
            manifest = read_json(folder / "manifest.json")
            assert list(folder.rglob("*.png")), f"{name}: {key} wrote no pseudo-labels"
            assert manifest, f"{name}: {key} left no manifest"
    wanted = [row.name for stage in recipe.stages.values() if isinstance(stage, EvaluateStage) for row in stage.rows()]
    assert [row.name for row in rows] == wanted, f"{name}: rows {[row.name for row in rows]} instead of {wanted}"
    assert all(0.0 <= row.miou <= 1.0 for row in rows)
    return rows


def _check_history(path: Path, where: str) -> None:
    with open(path, newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert lines, f"{where} recorded no step"
    losses = {k: v for k, v in lines[-1].items() if v and k not in ("step", "learning rate", "images per second")}
    assert losses, f"{where} recorded no loss"
    assert all(math.isfinite(float(value)) for value in losses.values()), f"{where}: {losses}"


def _fixture(kind: str, data: Path, *, boxed: bool) -> str:
    """The spec of a fixture of that kind, written once."""
    folder = data / ("boxes" if boxed else kind)
    if not folder.exists():
        if boxed:
            write_boxed_city(folder)
        elif kind in ("gta5", "synthia", "cityscapes", "mapillary"):
            formats.WRITERS[kind](folder, images=1)
        else:
            formats.WRITERS[kind](folder)
    return f"{kind}:{folder / 'dataset.yaml' if kind == 'folder' else folder}"


def write_boxed_city(root: Path) -> Path:
    """One clear and one foggy scene per split in the shape of Cityscapes, with a car and a person."""
    for split in ("train", "val"):
        name = f"{split}/bonn/bonn_000000_000001"
        ids = np.full((128, 256), 7, dtype=np.uint16)
        ids[60:100, 40:120] = 26000
        ids[50:110, 180:200] = 24001
        photo = formats.noise(1, height=128, width=256)
        for path, picture in (
            (f"leftImg8bit/{name}_leftImg8bit.png", photo),
            (f"leftImg8bit_foggy/{name}_leftImg8bit_foggy_beta_0.02.png", photo // 2 + 100),
            (f"gtFine/{name}_gtFine_instanceIds.png", ids),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / path)
    return root


def _few(spec: str | None) -> str | None:
    """Built-in scenes, but few and small."""
    if spec is None:
        return None
    return f"{spec.split(',')[0]},images=2,size=128x64"


def _scaled(size: Any, factor: float) -> list[int]:
    return [max(16, 4 * round(side * factor / 4)) for side in size]  # generators halve the sides twice


def _small_network(network: dict[str, Any], *, detection: bool) -> dict[str, Any]:
    if detection:
        return {"name": "light-ssd", "width": 16}
    return {"name": "small", "width": 16, **{key: bool(network.get(key)) for key in HEADS}}


def _short(training: dict[str, Any], factor: float, *, detection: bool, shared: bool = True) -> dict[str, Any]:
    """One step, on pictures of the recipe's proportions."""
    kept = {key: value for key, value in training.items() if key in ("optimizer", "schedule")}
    for key in ("source_transform", "target_transform"):
        if key in training:
            transform = dict(training[key])
            for size in ("size", "crop"):
                if isinstance(transform.get(size), list):
                    transform[size] = [192, 192] if detection else _scaled(transform[size], factor)
            kept[key] = transform
    if shared:
        kept |= {"steps": 1, "batch_size": 1, "log_every": 1, "precision": "32-true"}
    return kept


def _small_translation(stage: dict[str, Any], factor: float, *, shared: bool = True) -> dict[str, Any]:
    narrow = {"width": 4, "blocks": 1, "discriminator_width": 4}
    if shared:
        options = {**stage["options"], **narrow}
        training = _short(stage["training"], factor, detection=False) | {"checkpoint_minutes": 60}
        training |= {
            k: v for k, v in stage["training"].items() if k in ("learning_rate", "discriminator_learning_rate")
        }
    else:
        options = {k: v for k, v in stage["options"].items() if k not in narrow}
        training = _short(stage["training"], factor, detection=False, shared=False)
    writing = {**stage["writing"]}
    if writing.get("size"):
        writing["size"] = _scaled(writing["size"], factor)
    return {"options": options, "training": training, "writing": writing}
