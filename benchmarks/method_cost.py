"""What a step of each method costs, relative to source-only: time of the processor and peak memory.

    python benchmarks/method_cost.py [--steps 6] [--size 320 240] [--network mobilenet-v3plus] [--only dacs dacs-mic]

Random pictures and labels, batch 2 + 2, random weights, float32, each row in a process of its own so that peak memory
is its own. Seconds are those of the processor, not of the clock, and the median over steps after the first: other work
on the machine changes them little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from scripts import at_least_one, run_script

MIC: dict[str, Any] = {"masked_consistency": {}}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "source-only": ("source_only", {}),
    "adabn": ("adabn", {}),
    "minent": ("minent", {}),
    "minent-mic": ("minent", MIC),
    "advent": ("advent", {"discriminator_width": 16}),
    "dacs": ("dacs", {}),
    "dacs-two-views": ("dacs", {"views": 2}),
    "dacs-mic": ("dacs", MIC),
    "daformer": ("daformer", {}),
    "daformer-mic": ("daformer", MIC),
    "vfm-uda": ("vfm_uda", {}),
    "vfm-uda-plusplus": ("vfm_uda", {"feature_alignment": {}}),
    "hrda": ("daformer", {}),
}
"""Row -> method and options; ``hrda`` is that network with the same backbone and decoder."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=at_least_one, default=6)
    parser.add_argument("--size", type=at_least_one, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--network", default="mobilenet-v3plus")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="measure some of the rows")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = tuple(arguments.size)
    if arguments.row:
        print(json.dumps(measured(arguments.row, arguments.network, size, arguments.steps)))
        return
    print("| row | seconds a step | relative | peak MB | more than source-only |\n|---|---|---|---|---|")
    base: dict[str, float] | None = None
    for row in ["source-only", *(row for row in arguments.only if row != "source-only")]:
        command = [sys.executable, __file__, "--row", row, "--network", arguments.network]
        command += ["--steps", str(arguments.steps), "--size", *map(str, size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        cost = json.loads(done.stdout.splitlines()[-1])
        base = base or cost
        relative, more = cost["seconds"] / base["seconds"], cost["megabytes"] - base["megabytes"]
        print(
            f"| {row} | {cost['seconds']:.2f} | {relative:.2f} | {cost['megabytes']:,.0f} | {more:+,.0f} |", flush=True
        )


def measured(row: str, network: str, size: tuple[int, int], steps: int) -> dict[str, float]:
    """Median seconds of a step and the peak memory of this process."""
    import torch
    from lightning_fabric import Fabric

    from acclimate.data.sample import Batch
    from acclimate.methods import Setting, method_class, method_options
    from acclimate.methods.optimizers import OptimizerSettings
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network
    from acclimate.training.loop import train_step
    from acclimate.training.resources import peak_memory_mb

    classes, (width, height) = 10, size
    config = NetworkConfig.parse({"name": network})
    if row == "hrda":
        plain = config.options
        options = {"name": "hrda", "backbone": plain.backbone, "decoder": plain.decoder}
        options |= {"output_stride": plain.output_stride, "detail": [width // 64 * 32, height // 64 * 32]}
        config = NetworkConfig.parse(options)
    torch.manual_seed(0)
    name, values = ROWS[row]
    setting = Setting(
        optimizer=OptimizerSettings(learning_rate=1e-4),
        class_names=("car", *(f"class {number}" for number in range(1, classes))),
        initial=build_network(config, classes) if row.startswith(("daformer", "hrda", "vfm")) else None,
    )
    method = method_class(name)(build_network(config, classes), options=method_options(name, values), setting=setting)
    method.to(memory_format=torch.channels_last)

    def batch(*, labels: bool) -> Batch:
        ids = torch.randint(0, classes, (2, height // 8 + 1, width // 8 + 1))
        ids = ids.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)[:, :height, :width].contiguous()
        images = torch.rand(2, 3, height, width)
        return Batch(images, ids if labels else None, ["a", "b"]).to("cpu", channels_last=True)

    fabric = Fabric(accelerator="cpu", devices=1)
    seconds = []
    for step in range(steps + 1):
        source, target = batch(labels=True), batch(labels=False)
        begin = time.process_time()
        train_step(method, source, target if method_class(name).sees_target else None, step, fabric=fabric)
        seconds.append(time.process_time() - begin)
    return {"seconds": statistics.median(seconds[1:]), "megabytes": peak_memory_mb()}


if __name__ == "__main__":
    run_script(main)
