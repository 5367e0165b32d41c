"""A believable run folder without any training: street-like pictures, predictions that err, falling losses."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from acclimate.evaluation.confusion import ConfusionMatrix

CLASSES = ["road", "sidewalk", "building", "vegetation", "sky", "person", "car", "traffic sign", "boat"]
COLOURS = [
    [128, 64, 128], [244, 35, 232], [70, 70, 70], [107, 142, 35], [70, 130, 180], [220, 20, 60], [0, 0, 142],
    [220, 220, 0], [0, 80, 100],
]  # fmt: skip
SHADES = [(92, 92, 96), (160, 150, 150), (148, 120, 100), (70, 110, 60), (190, 210, 235), (60, 50, 70), (150, 40, 40),
          (230, 200, 60)]  # fmt: skip
MODELS = {"source-only": 0.45, "minent": 0.28, "advent": 0.2, "oracle": 0.1}
SIZE = (320, 180)


def street(seed: int) -> NDArray[np.uint8]:
    """A label map of a street; boat never occurs, and a strip at the bottom is void."""
    generator = np.random.default_rng(seed)
    width, height = SIZE
    picture = Image.new("L", SIZE, 4)
    draw = ImageDraw.Draw(picture)
    horizon = int(height * generator.uniform(0.42, 0.5))
    x = 0
    while x < width:
        wide = int(generator.integers(25, 70))
        top = int(horizon * generator.uniform(0.1, 0.8))
        draw.rectangle([x, top, x + wide, horizon + 6], fill=int(generator.choice([2, 2, 3])))
        x += wide
    draw.rectangle([0, horizon, width, height], fill=1)
    middle = width * generator.uniform(0.4, 0.6)
    draw.polygon(
        [(middle - 12, horizon), (middle + 12, horizon), (width * 0.92, height), (width * 0.08, height)], fill=0
    )
    for _ in range(3):
        cx, depth = generator.uniform(0.2, 0.8) * width, generator.uniform(0.1, 0.8)
        base, size = horizon + depth * (height - horizon), 12 + 34 * depth
        draw.rounded_rectangle([cx - size, base - size * 0.9, cx + size, base], radius=6, fill=6)
    for _ in range(2):
        cx, size = generator.choice([0.1, 0.88]) * width + generator.uniform(-15, 15), generator.uniform(18, 40)
        draw.ellipse([cx - size / 5, horizon - 4, cx + size / 5, horizon + size], fill=5)
    draw.rectangle([width * 0.78, horizon - 46, width * 0.78 + 12, horizon - 32], fill=7)
    draw.rectangle([0, height - 8, width, height], fill=255)
    return np.asarray(picture).copy()


def photograph(label: NDArray[np.uint8], seed: int, *, target: bool) -> Image.Image:
    generator = np.random.default_rng(seed)
    table = np.zeros((256, 3))
    table[: len(SHADES)] = SHADES
    image = table[label] + generator.normal(0, 9 if target else 3, (*label.shape, 3))
    image = image * 0.72 + np.array([38, 30, 12]) if target else image
    return Image.fromarray(image.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))


def blobs(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Smooth noise, ranked to be uniform in [0, 1]."""
    noise = np.random.default_rng(seed).integers(0, 255, (shape[0] // 10, shape[1] // 10)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=float)
    return (smooth.argsort(axis=None).argsort() / smooth.size).reshape(shape)


def guess(label: NDArray[np.uint8], error: float, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A prediction that is wrong on about the given share of the pixels, and its entropy map."""
    doubt = blobs(seed, label.shape)
    wrong = doubt > 1 - error
    prediction = np.where(wrong, np.roll(label, (17, 31), axis=(0, 1)), label)
    prediction = np.where(prediction == 255, 0, prediction).astype(np.uint8)
    edges = np.asarray(Image.fromarray(prediction).filter(ImageFilter.FIND_EDGES).point(lambda v: 255 if v else 0))
    soft = np.asarray(Image.fromarray(edges).filter(ImageFilter.GaussianBlur(2)), dtype=float) / 255
    entropy = (0.9 * soft + error * 1.3 * doubt**3).clip(0, 1)
    return prediction, np.round(255 * entropy).astype(np.uint8)


def save_ids(path: Path, ids: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(ids)
    picture.putpalette([channel for colour in COLOURS for channel in colour] + [0] * (768 - 3 * len(COLOURS)))
    picture.save(path)


def write_history(path: Path, model: str, seed: int, steps: int = 800) -> None:
    generator = np.random.default_rng(seed + len(model))
    adversarial = {"advent": ("adversarial", "discriminator"), "minent": ("entropy",)}.get(model, ())
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["step", "segmentation", *adversarial, "learning rate"])
        for step in range(10, steps + 1, 10):
            values = [0.35 + 1.9 * math.exp(-step / 130) + generator.normal(0, 0.05)]
            values += [
                0.7 - 0.1 * k + 0.2 * math.exp(-step / 300) + generator.normal(0, 0.03) for k in range(len(adversarial))
            ]
            writer.writerow([step, *(f"{value:.4f}" for value in values), f"{0.02 * (1 - step / steps) ** 0.9:.6f}"])


def write_run(
    folder: Path,
    *,
    seeds: tuple[int, ...] = (0,),
    models: dict[str, float] | None = None,
    target_images: int = 3,
    source_images: int = 2,
) -> Path:
    """Writes the run and returns its folder."""
    models = models or MODELS
    folder.mkdir(parents=True)
    rows = []
    for seed in seeds:
        home = folder if len(seeds) == 1 else folder / f"seed-{seed}"
        for number, (model, error) in enumerate(models.items(), start=1):
            stage = home / f"{number}-{safe(model)}"
            stage.mkdir(parents=True)
            write_history(stage / "history.csv", model, seed)
            evaluated = home / f"{len(models) + 1}-scores-{safe(model)}"
            matrix = write_pictures(evaluated / "pictures", model, error, seed, target_images, source_images)
            row = {
                "name": model, "stage": stage.relative_to(folder).as_posix(), "seed": seed,
                "method": model.replace("-", "_"),
                "data": "scenes", "split": "val", "images": target_images, "protocol": "scenes",
                "miou": matrix.miou(), "classes_averaged": len(matrix.averaged()),
                "iou": dict(zip(CLASSES, matrix.iou(), strict=True)), "subsets": {},
                "train_seconds": 60.0 + 70 * number + 3 * seed, "images_per_second": 60.0 / number,
                "peak_memory_mb": 900.0 + 130 * number, "checkpoint": f"{stage.name}/model.safetensors",
            }  # fmt: skip
            rows.append(row)
            (evaluated / "scores.json").write_text(json.dumps({"rows": [row]}))
    environment = {"python": "3.12.1", "processor": "a processor", "packages": {"torch": "2.6.0"}, "seeds": list(seeds)}
    (folder / "results.json").write_text(json.dumps({"schema": 1, "rows": rows, "environment": environment}))
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "recipe.yaml").write_text(
        "name: demo\nabout: Built-in renders to built-in camera pictures, in minutes on two cores.\nprotocol: scenes\n"
    )
    return folder


def write_unlabelled_run(folder: Path, *, seed: int = 0) -> Path:
    """A run whose target has no labels: source-only and an adapted model, looked at by the doctor, with a strip."""
    folder.mkdir(parents=True)
    shares = [0.3, 0.1, 0.25, 0.1, 0.15, 0.03, 0.05, 0.02, 0.0]
    for number, (model, method, error) in enumerate(
        (("source-only", "source_only", 0.4), ("dacs", "dacs", 0.2)), start=1
    ):
        stage, looked = folder / f"{number}-{model}", folder / "examined" / f"{number}-{model}"
        stage.mkdir()
        write_history(stage / "history.csv", model, seed)
        (stage / "model.safetensors").write_bytes(b"")
        write_pictures(looked / "pictures", model, error, seed, 2, 0)
        index = looked / "pictures" / "index.json"
        content = json.loads(index.read_text())
        for image in content["images"]:
            image["label"] = None
        index.write_text(json.dumps(content))
        for step in (200, 400, 800):
            (stage / "strip" / f"{step:08d}").mkdir(parents=True)
            photograph(street(step), step, target=True).save(stage / "strip" / f"{step:08d}" / "0.jpg")
        labels = dict(zip(CLASSES, shares, strict=True))
        iou = {name: (0.6 if share else None) for name, share in labels.items()}
        scores = {"mean entropy": error, "information maximisation": 0.6 - error, "class-ratio divergence": error / 10}
        signals = {
            "method": method,
            "source": {"split": "val", "held_out": True, "images": 8, "iou": iou, "accuracy": 0.9, "labels": labels,
                       "predicted": labels, "similarity": 0.5},
            "target": {"images": 8, "predicted": labels, "similarity": 0.5, "confidence": 1 - error, "scores": scores},
        }  # fmt: skip
        (looked / "signals.json").write_text(json.dumps(signals))
    (folder / "examined" / "sets").mkdir()
    sets = {"colour_distance": [70, 60, 50], "aspects": [1.8, 1.8]}
    (folder / "examined" / "sets" / "signals.json").write_text(json.dumps(sets))
    (folder / "recipe.yaml").write_text("name: mine\nabout: Two folders, no labels in the target.\n")
    return folder


def safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def write_pictures(
    folder: Path, model: str, error: float, seed: int, target_images: int, source_images: int
) -> ConfusionMatrix:
    """The pictures and index of one model; returns the confusion matrix over the target images."""
    matrix = ConfusionMatrix(CLASSES)
    images = []
    for domain, count in (("target", target_images), ("source", source_images)):
        for number in range(count):
            place = folder / f"{domain}-{number}"
            place.mkdir(parents=True)
            label = street(number + 100 * (domain == "source"))
            photograph(label, number, target=domain == "target").save(place / "input.jpg", quality=90)
            save_ids(place / "label.png", label)
            here = error if domain == "target" else 0.08
            prediction, entropy = guess(label, here * (1 + 0.1 * seed), number + 7 * seed + sum(model.encode()))
            save_ids(place / f"{safe(model)}-prediction.png", prediction)
            Image.fromarray(entropy).save(place / f"{safe(model)}-entropy.png")
            if domain == "target":
                matrix.add(label, prediction)
            images.append(
                {
                    "domain": domain,
                    "name": f"sequence/{number:05d}",
                    "input": f"{place.name}/input.jpg",
                    "label": f"{place.name}/label.png",
                    "models": {
                        model: {
                            "prediction": f"{place.name}/{safe(model)}-prediction.png",
                            "entropy": f"{place.name}/{safe(model)}-entropy.png",
                        }
                    },
                }
            )
    (folder / "index.json").write_text(json.dumps({"classes": CLASSES, "colours": COLOURS, "images": images}))
    return matrix
