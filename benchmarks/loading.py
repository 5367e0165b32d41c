"""The loader alone: images and labels per second, against decoding and resizing each item with Pillow.

    python benchmarks/loading.py [--steps 50] [--files 40]

Source batches of 4 (image and label, resized, mirrored at random) from a folder of 1024x512 PNG files, made for the
purpose from the built-in scenes. Three ways: Pillow item by item, written plainly; acclimate's loader from the original
files; acclimate's loader with the pre-resized cache (`training.cache`), whose one-off cost is printed too. All in one
process without workers, so that work is compared and not its distribution.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from acclimate.data.cache import cached
from acclimate.data.loading import batches
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.registry import open_dataset
from acclimate.data.transforms import Transform
from scripts import at_least_one, run_script

BATCH, NATIVE, SIZE = 4, (1024, 512), (512, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=at_least_one, default=50)
    parser.add_argument("--files", type=at_least_one, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_set(folder / "set", arguments.files)
        dataset = open_dataset(f"folder:{folder / 'set' / 'dataset.yaml'}", split="train")
        transform = Transform(size=SIZE, flip=True)

        def loader(source) -> Callable[[], object]:  # type: ignore[no-untyped-def]
            stream = batches(source, transform=transform, batch_size=BATCH, seed=0, steps=10**6)
            return lambda: next(stream)

        begin = time.perf_counter()
        quick = cached(dataset, size=SIZE, folder=folder / "cache", labels=True, resample=transform.resample)
        preparing = time.perf_counter() - begin
        plain = images_per_second(pillow(folder / "set"), arguments.steps)
        print(f"{'loader':34}{'images/s':>10}{'against Pillow':>16}")
        print(f"{'Pillow, item by item':34}{plain:10.1f}{1:15.2f}x")
        for name, source in (("acclimate, original files", dataset), ("acclimate, pre-resized cache", quick)):
            speed = images_per_second(loader(source), arguments.steps)
            print(f"{name:34}{speed:10.1f}{speed / plain:15.2f}x")
        print(f"filling the cache: {1000 * preparing / arguments.files:.0f} ms per image, once", file=sys.stdout)


def write_set(folder: Path, count: int) -> None:
    """A folder of pictures and labels any reader of own data opens."""
    scenes = ScenesDataset("camera", split="train", size=NATIVE)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(scenes.image(number)).save(folder / "images" / f"{number:04}.png")
        Image.fromarray(scenes.label(number)).save(folder / "labels" / f"{number:04}.png")
    names = ", ".join(scenes.class_space.classes)
    (folder / "dataset.yaml").write_text(f"images: images\nlabels: labels\nclasses: [{names}]\n")


def pillow(folder: Path) -> Callable[[], object]:
    """Batches as a plain data set class makes them: open, convert, resize, mirror, to a tensor."""
    pictures = sorted((folder / "images").iterdir())
    rng = np.random.default_rng(0)
    place = 0

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal place
        images, labels = [], []
        for _ in range(BATCH):
            picture = pictures[place % len(pictures)]
            place += 1
            image = Image.open(picture).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
            label = Image.open(folder / "labels" / picture.name).resize(SIZE, Image.Resampling.NEAREST)
            pixels, ids = np.asarray(image, dtype=np.float32) / 255, np.asarray(label, dtype=np.int64)
            if rng.random() < 0.5:
                pixels, ids = pixels[:, ::-1], ids[:, ::-1]
            images.append(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
            labels.append(torch.from_numpy(ids.copy()))
        return torch.stack(images), torch.stack(labels)

    return batch


def images_per_second(batch: Callable[[], object], steps: int) -> float:
    """Images (each with its label) per second over some batches, the first left out."""
    batch()
    begin = time.perf_counter()
    for _ in range(steps):
        batch()
    return steps * BATCH / (time.perf_counter() - begin)


if __name__ == "__main__":
    run_script(main)
