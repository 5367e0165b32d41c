"""Cost grows in a line: with images that are labelled, with steps, and with classes up to 150.

    python benchmarks/linear_cost.py [-o linear-cost.svg] [--repeats 5]

A `small` network on pictures of the built-in scenes (256x128), in one thread: seconds of the processor to read and
predict so many images, to take so many steps of DACS, and of a step of AdvEnt and of DACS with so many classes, whose
labels are drawn at random. All points take turns, and each is the median of its repeats. The table has, for each line
fitted by least squares, its slope, what it begins at, and how far the farthest point is from it, as a share of the
largest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acclimate.training.resources import keep_freed_memory
from scripts import at_least_one, run_script

SIZE = (256, 128)
IMAGES, STEPS, CLASSES = (8, 16, 32, 64), (4, 8, 16, 32), (10, 19, 50, 100, 150)
Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=5)
    parser.add_argument("-o", "--output", type=Path, help="the plot to write (SVG or PNG)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    work: dict[str, dict[int, Work]] = {
        "images predicted": {count: predicted(count) for count in IMAGES},
        "steps of DACS": {count: trained("dacs", 10, steps=count) for count in STEPS},
        "classes, a step of AdvEnt": {count: trained("advent", count, steps=2) for count in CLASSES},
        "classes, a step of DACS": {count: trained("dacs", count, steps=2) for count in CLASSES},
    }
    times: dict[str, dict[int, list[float]]] = {name: {count: [] for count in each} for name, each in work.items()}
    for _ in range(arguments.repeats + 1):
        for name, points in work.items():
            for count, do in points.items():
                begin = time.process_time()
                do()
                times[name][count].append(time.process_time() - begin)
    seconds = {
        name: {count: statistics.median(each[1:]) / (2 if "classes" in name else 1) for count, each in points.items()}
        for name, points in times.items()
    }
    print("| cost of | points | s for one more | s at none | farthest from the line |\n|---|---|---|---|---|")
    for name, points in seconds.items():
        slope, start, away = fitted(points)
        told = ", ".join(f"{count}: {value:.3g}" for count, value in points.items())
        print(f"| {name} | {told} | {slope:.2g} | {start:.2g} | {100 * away:.1f} % |")
    if arguments.output:
        draw(seconds, arguments.output)


def fitted(points: dict[int, float]) -> tuple[float, float, float]:
    """Slope and start of the line through the points, and the largest distance from it over the largest value."""
    counts, values = np.array(list(points), dtype=float), np.array(list(points.values()))
    slope, start = np.polyfit(counts, values, 1)
    return float(slope), float(start), float(np.abs(values - (start + slope * counts)).max() / values.max())


def network(classes: int, *, multi_level: bool = False) -> Any:
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network

    torch.manual_seed(0)
    return build_network(NetworkConfig.parse({"name": "small", "multi_level": multi_level}), classes)


def predicted(count: int) -> Work:
    """Reads and predicts so many images."""
    from acclimate.data.loading import images_in_order
    from acclimate.data.readers.scenes import ScenesDataset
    from acclimate.data.wrappers import Subset
    from acclimate.evaluation.inference import Inference
    from acclimate.evaluation.predict import predict_labels

    images = Subset(ScenesDataset("camera", split="train", size=SIZE), range(count))
    model = network(10).eval()

    def work() -> None:
        for batch in images_in_order(images):
            predict_labels([model], batch.images, size=batch.sizes[0], inference=Inference())

    return work


def trained(method: str, classes: int, *, steps: int) -> Work:
    """Takes so many steps of a method with so many classes."""
    from lightning_fabric import Fabric

    from acclimate.data.sample import Batch
    from acclimate.methods import Setting, method_class, method_options
    from acclimate.methods.optimizers import OptimizerSettings
    from acclimate.training.loop import train_step
    from acclimate.training.placing import place
    from acclimate.training.settings import TrainingSettings

    learner = method_class(method)(
        network(classes, multi_level=method == "advent"),
        options=method_options(method, {"discriminator_width": 16} if method == "advent" else {}),
        setting=Setting(optimizer=OptimizerSettings(learning_rate=1e-5)),
    )
    place(learner, TrainingSettings(), torch.device("cpu"))
    learner.train()
    fabric = Fabric(accelerator="cpu", devices=1)
    width, height = SIZE
    ids = torch.randint(0, classes, (1, height // 8, width // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    source = Batch(torch.rand(1, 3, height, width), ids, ["a"]).to("cpu", channels_last=True)
    target = Batch(torch.rand(1, 3, height, width), None, ["b"]).to("cpu", channels_last=True)

    def work() -> None:
        for step in range(steps):
            train_step(learner, source, target, step, fabric=fabric)

    return work


def draw(seconds: dict[str, dict[int, float]], path: Path) -> None:
    """The points and their lines, a panel for images, for steps and for classes."""
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "acclimate", "font.size": 9})
    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3), constrained_layout=True)
    for name, points in seconds.items():
        number = 0 if "images" in name else 1 if "steps" in name else 2
        slope, start, _ = fitted(points)
        ends = np.array([0, max(points)])
        (line,) = axes[number].plot(ends, start + slope * ends, linewidth=1)
        label = name.partition(", ")[2] or name
        axes[number].plot(list(points), list(points.values()), "o", color=line.get_color(), label=label)
    for axis, what in zip(axes, ("images", "steps", "classes"), strict=True):
        axis.set(xlabel=what, ylabel="seconds of the processor", xlim=(0, None), ylim=(0, None))
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    run_script(main)
