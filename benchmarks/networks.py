"""What each network costs: parameters, stride, and seconds for one image, as the table of docs/networks.md.

    python benchmarks/networks.py [NAME ...] [--image 512 256] [--repeat 3] [--train] [--device cpu]

All networks that ship unless some are named. Weights are random. Times are the best of several repetitions, on one
thread of the processor; with --train also forward and backward of two images of that size.
"""

from __future__ import annotations

import argparse
import time

import torch

from acclimate.models.config import NetworkConfig
from acclimate.models.network import SegmentationNetwork
from acclimate.models.registry import NETWORKS, build_network
from scripts import at_least_one, run_script

CLASSES = 19


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--image", type=at_least_one, nargs=2, default=(512, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--repeat", type=at_least_one, default=3)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    configs = [NetworkConfig.parse({"name": name}) for name in arguments.names or NETWORKS]
    torch.set_num_threads(1)
    print("| network | million parameters | stride | seconds |" + (" seconds of training |" if arguments.train else ""))
    print("|---|---|---|---|" + ("---|" if arguments.train else ""))
    for config in configs:
        torch.manual_seed(0)
        network = build_network(config, CLASSES).to(arguments.device)
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        row = f"| `{config.name}` | {millions:.1f} | {network.stride:g} | {seconds(network, arguments):.2f} |"
        print(row + (f" {seconds(network, arguments, train=True):.2f} |" if arguments.train else ""), flush=True)


def seconds(network: SegmentationNetwork, arguments: argparse.Namespace, *, train: bool = False) -> float:
    """The best time of a pass."""
    width, height = arguments.image
    images = torch.rand(2 if train else 1, 3, height, width, device=arguments.device)
    network.train(train)
    times = []
    for _ in range(arguments.repeat + 1):
        begin = time.perf_counter()
        with torch.set_grad_enabled(train):
            logits = network(images).logits
        if train:
            network.zero_grad()
            logits.square().mean().backward()
        if arguments.device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


if __name__ == "__main__":
    run_script(main)
