"""The doctor put to the test: failures made on purpose, caught or not and at which step; false alarms on good runs.

    python benchmarks/doctor_table.py failures        # minutes on one core
    python benchmarks/doctor_table.py good            # 5 seeds of 4 adapting methods, an hour on one core

Both print a Markdown table. A good run is one whose adapted model is better than source-only by the target's labels,
which are set aside for that alone; any alarm or warning about it is false.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from acclimate.data.registry import open_dataset
from acclimate.pipeline.run import Run as Settings
from acclimate.pipeline.run import run
from acclimate.recipe.load import load_recipe
from acclimate.report.diagnosis import Diagnosis, diagnosis
from acclimate.report.reading import read_run

SMALL = {
    "name": "small",
    "source": "scenes:render,images=48,size=64x32",
    "target": "scenes:camera,images=40,size=64x32",
    "network": {"name": "small", "width": 16},
    "examine": 24,
    "training": {
        "steps": 100,
        "batch_size": 4,
        "precision": "32-true",
        "optimizer": {"learning_rate": 0.02, "weight_decay": 0.0005, "discriminator_learning_rate": 0.001},
        "source_transform": {"size": [64, 32], "flip": True},
        "target_transform": {"size": [64, 32], "flip": True},
        "log_every": 2,
    },
}
"""What failures are made in: seconds a run."""
ADVENT = {"train": "advent", "options": {"adversarial_weight": 0.1, "discriminator_width": 8}}


@dataclass(frozen=True)
class Failure:
    """A run that goes wrong on purpose.

    Attributes:
        what: was done to it.
        kind: of the finding that should be made.
        stages: of its recipe.
        changes: dotted keys of the recipe.
        prepare: what is made on disk first; returns more dotted keys.
    """

    what: str
    kind: str
    stages: dict[str, Any] = field(default_factory=lambda: {"source-only": {"train": "source_only"}})
    changes: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Path], dict[str, Any]] = lambda folder: {}


def exported(folder: Path, spec: str, *, labels: Callable[[int, int], int] | None, keep: Sequence[int]) -> str:
    """A built-in set as a folder of files: the images in ``keep``, with labels of ``labels(position, count)``."""
    data = open_dataset(spec, split="train")
    for position, index in enumerate(keep):
        path = folder / "images" / f"{position:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.image(index)).save(path)
        if labels is not None:
            path = folder / "labels" / path.name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(data.label(labels(position, len(keep)))).save(path)
    space = data.class_space
    description: dict[str, Any] = {"images": "images"}
    if labels is not None:
        description |= {
            "labels": "labels",
            "classes": list(space.classes),
            "ids": dict(enumerate(space.classes)),
        }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    return f"folder:{folder / 'dataset.yaml'}"


def pitch_dark(folder: Path) -> dict[str, Any]:
    """A target in which next to nothing is to be seen."""
    return darkened(folder, brightness=0.02)


def darkened(folder: Path, *, brightness: float = 0.2) -> dict[str, Any]:
    """A target at night: every picture at a fifth of its brightness."""
    data = open_dataset("scenes:camera,images=40,size=64x32", split="train")
    (folder / "night" / "images").mkdir(parents=True)
    for index in range(len(data)):
        Image.fromarray((data.image(index) * brightness).astype(np.uint8)).save(
            folder / f"night/images/{index:04d}.png"
        )
    (folder / "night/dataset.yaml").write_text("images: images\n")
    return {"target": f"folder:{folder / 'night/dataset.yaml'}"}


def standing_camera(folder: Path) -> dict[str, Any]:
    """A target of one frame, again and again, with a little noise."""
    image = open_dataset("scenes:camera,images=1,size=64x32", split="train").image(0).astype(np.float64)
    (folder / "still" / "images").mkdir(parents=True)
    for index in range(40):
        noisy = image + np.random.default_rng(index).normal(0, 3, image.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"still/images/{index:04d}.png")
    (folder / "still/dataset.yaml").write_text("images: images\n")
    return {"target": f"folder:{folder / 'still/dataset.yaml'}"}


def wrong_labels(folder: Path) -> dict[str, Any]:
    """A source whose labels lie beside the next picture but seven."""
    spec = exported(
        folder / "mixed-up",
        SMALL["source"],
        labels=lambda position, count: (position + 7) % count,
        keep=range(48),
    )
    return {"source": spec}


def bonnet(folder: Path) -> dict[str, Any]:
    """A source whose lowest quarter shows the camera's own car, which is void."""
    spec = exported(folder / "bonnet", SMALL["source"], labels=lambda position, count: position, keep=range(48))
    for path in sorted((folder / "bonnet" / "labels").iterdir()):
        label = np.array(Image.open(path))
        label[-label.shape[0] // 4 :] = 255
        Image.fromarray(label).save(path)
    described = folder / "bonnet" / "dataset.yaml"
    content = yaml.safe_load(described.read_text())
    content["ids"] |= {255: "void"}
    described.write_text(yaml.safe_dump(content, sort_keys=False))
    return {"source": spec}


BOTH = {"source-only": {"train": "source_only"}}
FAILURES = (
    Failure("target at a fifth of its brightness", "colours differ", prepare=darkened),
    Failure(
        "square target pictures brought to the source's size",
        "aspect ratios differ",
        changes={"target": "scenes:camera,images=40,size=64x64"},
    ),
    Failure("a bonnet without labels in the source", "source rim without labels", prepare=bonnet),
    Failure("one frame of a standing camera, 40 times", "target frames alike", prepare=standing_camera),
    Failure("12 steps of training", "weak source model", changes={"training.steps": 12}),
    Failure("40 steps: rare classes are not learnt yet", "class never predicted", changes={"training.steps": 40}),
    Failure("labels beside other pictures", "picture ignored", prepare=wrong_labels),
    Failure(
        "a target in pitch darkness, adversarial weight 0",
        "discriminator won",
        {**BOTH, "advent": {**ADVENT, "options": {"adversarial_weight": 0.0, "discriminator_width": 32}}},
        {"training.optimizer.discriminator_learning_rate": 0.003},
        pitch_dark,
    ),
    Failure(
        "discriminator that does not learn",
        "discriminator gave up",
        {**BOTH, "advent": ADVENT},
        {"training.optimizer.discriminator_learning_rate": 1e-12},
    ),
    Failure(
        "confidence threshold 0.99999",
        "nothing kept",
        {**BOTH, "dacs": {"train": "dacs", "options": {"teacher": {"threshold": 0.99999, "confidence": "pixel"}}}},
    ),
    Failure(
        "confidence threshold 0.01",
        "everything kept",
        {**BOTH, "dacs": {"train": "dacs", "options": {"teacher": {"threshold": 0.01, "confidence": "pixel"}}}},
    ),
    Failure(
        "learning rate that grows to 10",
        "loss rose",
        changes={"training.optimizer.learning_rate": 10.0, "training.schedule": {"warmup_steps": 100}},
    ),
    Failure(
        "entropy minimised 50 times as strongly",
        "one class in training",
        {**BOTH, "minent": {"train": "minent", "options": {"entropy_weight": 50.0}}},
    ),
    Failure(
        "the same, seen in the trained model",
        "one class swallows",
        {**BOTH, "minent": {"train": "minent", "options": {"entropy_weight": 50.0}}},
    ),
    Failure(
        "entropy minimised 5 times as strongly, after source-only",
        "likely worse",
        {**BOTH, "minent": {"train": "minent", "start": "source-only", "options": {"entropy_weight": 5.0}}},
    ),
    Failure(
        "adversarial weight 100",
        "class vanished",
        {**BOTH, "advent": {**ADVENT, "options": {"adversarial_weight": 100.0, "discriminator_width": 8}}},
    ),
    Failure(
        "the same, beside source-only",
        "likely worse",
        {**BOTH, "advent": {**ADVENT, "options": {"adversarial_weight": 100.0, "discriminator_width": 8}}},
    ),
)


def diagnosed(failure: Failure, folder: Path) -> Diagnosis:
    """Runs it and lets the doctor look."""
    keys = failure.changes | failure.prepare(folder)
    path = folder / "failing.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "stages": failure.stages}, sort_keys=False))
    recipe, origins = load_recipe(str(path), overrides=keys)
    run(recipe, Settings(output=folder / "run", store=folder.parent / ".stages"), origins=origins)
    return diagnosis(read_run(folder / "run"), labels=False)


def failures(place: Path, only: str) -> None:
    """Prints the table of the failures."""
    print("| made to fail | finding | caught | at | also found |\n|---|---|---|---|---|")
    caught = total = 0
    for number, failure in enumerate(FAILURES):
        if only and only not in f"{failure.kind} {failure.what}":
            continue
        folder = place / f"failure-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = diagnosed(failure, folder)
        hit = next((told for told in found.told if told.finding.kind == failure.kind), None)
        total += 1
        caught += hit is not None
        others = sorted({told.finding.kind for told in found.told} - {failure.kind})
        at = "–" if hit is None else f"step {hit.finding.step}" if hit.finding.step else f"looking at {hit.where}"
        print(f"| {failure.what} | {failure.kind} | {'yes' if hit else '**no**'} | {at} | {', '.join(others)} |")
        sys.stdout.flush()
    print(f"\n{caught} of {total} caught.")


SEVEN = ("road", "sidewalk", "building", "vegetation", "sky", "person", "car")
"""The classes of the good runs: what a network of seconds can learn at 128x64."""
GOOD = {
    **SMALL,
    "name": "good",
    "examine": 32,
    "training": {
        **SMALL["training"],
        "steps": 240,
        "log_every": 6,
        "cache": True,
        "source_transform": {"size": [128, 64], "flip": True},
        "target_transform": {"size": [128, 64], "flip": True},
    },
    "stages": {
        "source-only": {"train": "source_only"},
        "adabn": {"train": "adabn"},
        "minent": {"train": "minent", "options": {"entropy_weight": 0.05}},
        "advent": {"train": "advent", "options": {"adversarial_weight": 0.1, "discriminator_width": 16}},
        "dacs": {
            "train": "dacs",
            "options": {"teacher": {"decay": 0.98, "threshold": 0.9, "confidence": "image"}},
        },
        "scores": {
            "evaluate": ["source-only", "adabn", "minent", "advent", "dacs"],
            "pictures": 0,
            "label_free": 0,
        },
    },
}


def folders(place: Path) -> dict[str, str]:
    """The built-in scenes as two folders of files with the seven classes; the target's labels are for scoring alone."""
    specs = {}
    for domain, look, sizes in (
        ("source", "render", {"train": 160, "val": 40}),
        ("target", "camera", {"train": 120, "val": 60}),
    ):
        folder = place / domain
        for split, count in sizes.items():
            data = open_dataset(f"scenes:{look},images={count},size=128x64", split=split)
            names = data.class_space.classes
            ids = np.full(256, 255, dtype=np.uint8)
            ids[[names.index(name) for name in SEVEN]] = np.arange(len(SEVEN))
            for kind in ("images", "labels"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                Image.fromarray(data.image(index)).save(folder / f"images/{split}/{index:04d}.png")
                Image.fromarray(ids[data.label(index)]).save(folder / f"labels/{split}/{index:04d}.png")
        description = {
            "images": {split: f"images/{split}" for split in sizes},
            "labels": {split: f"labels/{split}" for split in sizes},
            "classes": list(SEVEN),
            "ids": {**dict(enumerate(SEVEN)), 255: "void"},
        }
        (folder / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
        specs[domain] = f"folder:{folder / 'dataset.yaml'}"
    return specs


def good(place: Path, seeds: Sequence[int]) -> None:
    """Prints what the doctor says of runs that went well, beside their true gain."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / "good.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **folders(place)}, sort_keys=False))
    print("| run | true gain, points | verdict | alarms and warnings |\n|---|---|---|---|")
    total = false = 0
    for seed in seeds:
        recipe, origins = load_recipe(str(path))
        rows = run(recipe, Settings(output=place / f"run-{seed}", seeds=(seed,)), origins=origins)
        scores = {row.name: row.miou for row in rows}
        found = diagnosis(read_run(place / f"run-{seed}"), labels=False)
        of_all = [told for told in found.told if told.where in ("data", "source-only") and told.severity != "note"]
        for verdict in found.verdicts:
            own = [told for told in found.told if told.where == verdict.name and told.severity != "note"]
            gain = 100 * (scores[verdict.name] - scores[verdict.baseline])
            total += gain > 0
            false += gain > 0 and bool(own or of_all)
            kinds = ", ".join(told.finding.kind for told in [*of_all, *own]) or "–"
            print(f"| {verdict.name}, seed {seed} | {gain:+.1f} | {verdict.leaning} | {kinds} |")
            sys.stdout.flush()
    print(f"\n{false} of {total} good runs have an alarm or a warning.")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("failures", "good"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/doctor"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--only", default="", help="only failures whose text holds this")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if given.what == "failures":
        failures(given.output, given.only)
    else:
        good(given.output, [int(seed) for seed in given.seeds.split(",")])


if __name__ == "__main__":
    main()
