"""What SISC costs: its time relative to one whole-image pass, beside the ratio of pixels processed.

    python benchmarks/sisc_cost.py [--network small] [--image 1024 512] [--size 256 256] [--patches 50]

Both are timed in turn, the best of several repetitions each, on one thread. Exit status 1 if the ratios differ by more
than 15 %.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from acclimate.evaluation.inference import Inference
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.pseudo.sisc import Patches, low_probabilities
from scripts import at_least_one, run_script

TOLERANCE = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="small")
    parser.add_argument("--image", type=at_least_one, nargs=2, default=(1024, 512), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--size", type=at_least_one, nargs=2, default=(256, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--patches", type=at_least_one, default=50)
    parser.add_argument("--at-once", type=at_least_one, default=4)
    parser.add_argument("--repeat", type=at_least_one, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_network(NetworkConfig.parse({"name": arguments.network}), 19).eval().to(arguments.device)
    width, height = arguments.image
    image = torch.rand(1, 3, height, width, device=arguments.device)
    sisc = Patches(patches=arguments.patches, size=tuple(arguments.size), patches_at_once=arguments.at_once)
    rows, columns = sisc.patch_size(height, width)
    pixels = arguments.patches * rows * columns / (height * width)

    def seconds(patches: Patches | None) -> float:
        begin = time.perf_counter()
        low_probabilities(network, image, names=["image"], inference=Inference(), patches=patches)
        if arguments.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    times: dict[str, list[float]] = {"whole": [], "patches": []}
    for repetition in range(arguments.repeat + 1):
        for name, patches in (("whole", None), ("patches", sisc)):
            taken = seconds(patches)
            if repetition > 0:
                times[name].append(taken)
    whole, patches = min(times["whole"]), min(times["patches"])
    ratio = patches / whole
    print(f"{arguments.network}, image {width}x{height}, {arguments.patches} patches of {columns}x{rows}")
    print(f"whole image {1000 * whole:.1f} ms, patches {1000 * patches:.1f} ms")
    print(f"time ratio {ratio:.2f}, pixel ratio {pixels:.2f}, {100 * (ratio / pixels - 1):+.1f} %")
    sys.exit(0 if abs(ratio / pixels - 1) <= TOLERANCE else 1)


if __name__ == "__main__":
    run_script(main)
