"""Seconds per step of the fine-grained adversary relative to AdvEnt, on the same network and sizes.

    python benchmarks/fine_grained_step.py [--steps 10] [--network small] [--size 256 128] [--batch 4]
    python benchmarks/fine_grained_step.py --network deeplab-v2-resnet101 --size 640 320 --batch 1 --width 256

Steps of all methods take turns on the same pictures of the built-in scenes, so that what else the machine does falls on
all of them; medians and the median of the ratios of neighbouring steps are told.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.sample import Batch
from acclimate.io.environment import environment
from acclimate.methods import Setting, method_class, method_options
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.stages.train import launched_fabric
from acclimate.training.loop import train_step
from acclimate.training.settings import resolved_precision
from scripts import at_least_one, run_script

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "advent": ("advent", {}),
    "adaptsegnet": ("adaptsegnet", {}),
    "feature-binary": ("fine_grained", {"encoding": "binary"}),
    "fine-grained": ("fine_grained", {}),
    "fine-grained-entropy": ("fine_grained", {"entropy_weight": 0.5}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=at_least_one, default=10)
    parser.add_argument("--network", default="small")
    parser.add_argument("--multi-level", action="store_true")
    parser.add_argument("--size", type=at_least_one, nargs=2, default=(256, 128), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=at_least_one, default=4)
    parser.add_argument(
        "--width", type=at_least_one, default=64, help="of the fine-grained discriminator; 256 as published"
    )
    parser.add_argument(
        "--output-width", type=at_least_one, default=32, help="of the output discriminators; 64 as published"
    )
    arguments = parser.parse_args()
    levels = {"multi_level": True} if arguments.multi_level else {}
    config = NetworkConfig.parse({"name": arguments.network, **levels})
    fabric = launched_fabric(resolved_precision("auto", config))
    source, target = (
        batch(look, tuple(arguments.size), arguments.batch).to(fabric.device, channels_last=True)
        for look in ("render", "camera")
    )
    methods = {}
    for name, (method_name, options) in ROWS.items():
        torch.manual_seed(0)
        width = arguments.width if method_name == "fine_grained" else arguments.output_width
        method = method_class(method_name)(
            build_network(config, classes=14),
            options=method_options(method_name, {**options, "discriminator_width": width}),
            setting=Setting(optimizer=OptimizerSettings()),
        ).to(fabric.device)
        method.network.to(memory_format=torch.channels_last)
        methods[name] = method.train()
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for step in range(arguments.steps + 1):
        for name, method in methods.items():
            begin = time.perf_counter()
            train_step(method, source, target, step, fabric=fabric)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - begin)
    print(
        f"{environment()['processor']}, {torch.get_num_threads()} threads, {fabric.device}, torch {torch.__version__}"
    )
    width, height = arguments.size
    print(f"{arguments.network}, {arguments.batch} + {arguments.batch} images of {width}x{height}\n")
    print("| method | seconds per step | relative to advent | discriminator's parameters |")
    print("|---|---|---|---|")
    for name, method in methods.items():
        times = seconds[name][1:]  # the first step allocates
        ratio = statistics.median(mine / base for mine, base in zip(times, seconds["advent"][1:], strict=True))
        held = sum(p.numel() for key, p in method.named_parameters() if key.startswith("discriminators."))
        print(f"| {name} | {statistics.median(times):.3f} | {ratio:.2f} | {held:,} |")


def batch(look: str, size: tuple[int, int], count: int) -> Batch:
    """The first pictures of a look of the built-in scenes with their labels."""
    scenes = ScenesDataset(look, split="train", size=size)
    images = [torch.from_numpy(scenes.image(index).copy()).permute(2, 0, 1).float() / 255 for index in range(count)]
    labels = [torch.from_numpy(scenes.label(index).copy()).long() for index in range(count)]
    return Batch(torch.stack(images), torch.stack(labels), list(scenes.names[:count]))


if __name__ == "__main__":
    run_script(main)
