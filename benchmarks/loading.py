"""The loader alone, against decoding and resizing each item with Pillow; and a small training, which it must keep fed.

    python benchmarks/loading.py [--rounds 15] [--files 24]

Batches of 4 (image and label, or the image alone; resized to 512x256, mirrored at random) from folders made for the
purpose from the built-in scenes: PNG and JPEG files of 1024x512 pixels, and JPEG files of 3072x1536, as cameras give
them. Pillow opens, resizes, mirrors and stacks item by item, written plainly; acclimate's loader reads the original
files exactly or with ``reading: fast``, or its copy at training size (``cache``), whose one-off cost is printed too.
All without workers, in one thread, so that work is compared and not its distribution; they take turns, a batch each,
and the median of the ratios pair by pair is printed.

The second table has a network of the kind ``small`` trained with source-only on such batches: images per second that
the loader gives by itself with one worker, that the steps take when their batch is in memory, and that the two together
reach, with the share of the time that the steps waited for the loader.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from acclimate.data.cache import cached
from acclimate.data.loading import batches
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.registry import open_dataset
from acclimate.data.transforms import Transform
from acclimate.training.resources import keep_freed_memory
from scripts import at_least_one, run_script

BATCH, SIZE = 4, (512, 256)
SETS = {"PNG 1024x512": ("png", 1), "JPEG 1024x512": ("jpg", 1), "JPEG 3072x1536": ("jpg", 3)}
"""Name -> suffix, and how many times as large as 1024x512."""
Batches = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=at_least_one, default=15, help="timed batches of each loader")
    parser.add_argument("--files", type=at_least_one, default=24)
    parser.add_argument("--steps", type=at_least_one, default=20, help="of the training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as trainings do
    with tempfile.TemporaryDirectory() as temporary:
        sets = {name: Path(temporary, str(number)) for number, name in enumerate(SETS)}
        print("| files | loader | images/s | against Pillow |\n|---|---|---|---|")
        for name, folder in sets.items():
            write_set(folder, arguments.files, *SETS[name])
            compared(name, folder, Path(temporary, "cache"), arguments.rounds, arguments.files)
        print("\n| files | loader | loader alone | steps alone | together | waited |\n|---|---|---|---|---|---|")
        for name, folder in sets.items():
            trained(name, folder, Path(temporary, "cache"), arguments.steps)


def compared(name: str, folder: Path, cache: Path, rounds: int, files: int) -> None:
    """Prints the rates of all ways to load a set."""
    dataset = open_dataset(f"folder:{folder / 'dataset.yaml'}", split="train")
    begin = time.perf_counter()
    quick = cached(dataset, size=SIZE, folder=cache)
    preparing = time.perf_counter() - begin
    exact, fast = Transform(size=SIZE, flip=True), Transform(size=SIZE, flip=True, reading="fast")
    for labels in (True, False):
        loaders: dict[str, Batches] = {
            "Pillow, item by item": pillow(folder, labels=labels),
            "acclimate": loader(dataset, exact, labels=labels),
            "acclimate, reading: fast": loader(dataset, fast, labels=labels),
            "acclimate, cache": loader(quick, exact, labels=labels),
        }
        in_turn(f"{name}{'' if labels else ', no labels'}", loaders, rounds)
    print(f"| {name} | filling the cache, once | {files / preparing:.1f} | |", flush=True)


def in_turn(name: str, loaders: dict[str, Batches], rounds: int) -> None:
    """Prints the rates of loaders that take turns, the first of them Pillow."""
    times: dict[str, list[float]] = {way: [] for way in loaders}
    for _ in range(rounds + 1):
        for way, batch in loaders.items():
            begin = time.perf_counter()
            batch()
            times[way].append(time.perf_counter() - begin)
    base = times["Pillow, item by item"][1:]
    for way, each in times.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(base, each[1:], strict=True))
        print(f"| {name} | {way} | {BATCH / statistics.median(each[1:]):.1f} | {ratio:.2f} |", flush=True)


def trained(name: str, folder: Path, cache: Path, steps: int) -> None:
    """Prints the rates of a small training and of its loader."""
    dataset = open_dataset(f"folder:{folder / 'dataset.yaml'}", split="train")
    quick = cached(dataset, size=SIZE, folder=cache)
    for way, source, reading in (("reading: fast", dataset, "fast"), ("cache", quick, "exact")):
        transform = Transform.model_validate({"size": SIZE, "flip": True, "reading": reading})
        alone = loader(source, transform, workers=1)
        alone()
        begin = time.perf_counter()
        for _ in range(steps):
            batch = alone()
        given = steps * BATCH / (time.perf_counter() - begin)
        step = small_step(len(dataset.class_space))
        step(batch)
        begin = time.perf_counter()
        for _ in range(steps):
            step(batch)
        taken = steps * BATCH / (time.perf_counter() - begin)
        together, waited = loader(source, transform, workers=1), 0.0
        together()
        begin = time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            batch = together()
            waited += time.perf_counter() - asked
            step(batch)
        seconds = time.perf_counter() - begin
        print(
            f"| {name} | {way} | {given:.1f} | {taken:.1f} | {steps * BATCH / seconds:.1f} "
            f"| {100 * waited / seconds:.1f} % |",
            flush=True,
        )


def small_step(classes: int) -> Callable[[Any], object]:
    """A training step of a small network with source-only."""
    from lightning_fabric import Fabric

    from acclimate.methods import Setting, method_class, method_options
    from acclimate.methods.optimizers import OptimizerSettings
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network
    from acclimate.training.loop import train_step
    from acclimate.training.placing import place
    from acclimate.training.settings import TrainingSettings, resolved_precision

    config = NetworkConfig.parse({"name": "small"})
    settings = TrainingSettings()
    fabric = Fabric(accelerator="cpu", devices=1, precision=resolved_precision("auto", config))
    method = method_class("source_only")(
        build_network(config, classes),
        options=method_options("source_only", {}),
        setting=Setting(optimizer=OptimizerSettings(learning_rate=1e-4)),
    )
    place(method, settings, torch.device("cpu"))
    method.train()
    return lambda batch: train_step(method, batch.to("cpu", channels_last=True), None, 0, fabric=fabric)


def loader(source: Any, transform: Transform, *, workers: int = 0, labels: bool = True) -> Batches:
    """Endless batches of acclimate's loader."""
    stream = batches(source, transform=transform, batch_size=BATCH, seed=0, steps=10**6, workers=workers, labels=labels)
    return lambda: next(stream)


def write_set(folder: Path, count: int, suffix: str, times: int) -> None:
    """A folder of pictures and labels any reader of own data opens."""
    scenes = ScenesDataset("camera", split="train", size=(1024, 512))
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        picture, label = Image.fromarray(scenes.image(number)), Image.fromarray(scenes.label(number))
        if times > 1:
            size = (times * picture.width, times * picture.height)
            picture = picture.resize(size, Image.Resampling.BICUBIC)
            label = label.resize(size, Image.Resampling.NEAREST)
        options = {"quality": 92} if suffix == "jpg" else {}
        picture.save(folder / "images" / f"{number:04}.{suffix}", **options)  # type: ignore[arg-type]
        label.save(folder / "labels" / f"{number:04}.png")
    names = ", ".join(scenes.class_space.classes)
    (folder / "dataset.yaml").write_text(f"images: images\nlabels: labels\nclasses: [{names}]\n")


def pillow(folder: Path, *, labels: bool) -> Batches:
    """Batches as a plain data set class makes them: open, convert, resize, mirror, to a tensor."""
    pictures = sorted((folder / "images").iterdir())
    rng = np.random.default_rng(0)
    places: Iterator[Path] = (pictures[number % len(pictures)] for number in range(10**9))

    def batch() -> list[torch.Tensor]:
        images, maps = [], []
        for _ in range(BATCH):
            picture, mirrored = next(places), rng.random() < 0.5
            image = Image.open(picture).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
            pixels = np.asarray(image, dtype=np.float32) / 255
            images.append(torch.from_numpy((pixels[:, ::-1] if mirrored else pixels).transpose(2, 0, 1).copy()))
            if labels:
                label = Image.open(folder / "labels" / f"{picture.stem}.png").resize(SIZE, Image.Resampling.NEAREST)
                ids = np.asarray(label, dtype=np.int64)
                maps.append(torch.from_numpy((ids[:, ::-1] if mirrored else ids).copy()))
        return [torch.stack(images), *([torch.stack(maps)] if labels else [])]

    return batch


if __name__ == "__main__":
    run_script(main)
