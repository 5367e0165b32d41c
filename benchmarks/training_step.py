"""Speed and memory of training steps on a CPU: acclimate's against the published loops, pair by pair.

    python benchmarks/training_step.py [--only advent dacs mic] [--steps 7] [--size 640 320] [--threads 1]

AdvEnt, DACS and MIC on DeepLab-V2 ResNet-101 with published batch norm, batch 1 + 1, from the same random weights on
the same pictures of the built-in scenes. The published loops are written plainly in `plain_steps.py`: float32, the
default memory format, nothing fused; `tests/test_plain_steps.py` holds both to the same losses. Each side runs in a
process of its own, so that peak memory is its own, and the two take turns, a step each, so that other work on the
machine meets both. Printed are the median of each, and the median of the ratios pair by pair, with the smallest and
the largest. The first step of each warms up.

``--curves`` also prints the losses of both sides and of acclimate in float32. The learning rate is a hundredth of the
published one, because that comparison asks for it: a ResNet-101 that starts from random weights and normalises by
single images is chaotic at 2.5e-4, where two float32 runs that differ in the last bit part too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from scripts import at_least_one, run_script

CASES = ("advent", "dacs", "mic")
SIDES = ("plain", "acclimate", "acclimate-fp32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="measure some of the methods")
    parser.add_argument("--steps", type=at_least_one, default=7)
    parser.add_argument("--size", type=at_least_one, nargs=2, default=(640, 320), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--threads", type=at_least_one, default=1)
    parser.add_argument("--tiny", action="store_true", help="a small network in the place of ResNet-101")
    parser.add_argument("--curves", action="store_true", help="also compare the losses of the steps")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        answer(arguments)
        return
    import torch

    from acclimate.io.environment import environment

    features = [name for name, has in torch.cpu.get_capabilities().items() if has is True and name.startswith("a")]
    print(f"{environment()['processor']}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"vector instructions: {', '.join(sorted(features))}\n")
    print("| step | plain s | acclimate s | plain / acclimate (least to most) | plain MB | acclimate MB |")
    print("|---|---|---|---|---|---|")
    sides = SIDES if arguments.curves else SIDES[:2]
    curves = {}
    for method in arguments.only:
        steps = curves[method] = in_turn(method, sides, arguments)
        plain, ours = ([step["seconds"] for step in steps[side]][1:] for side in sides[:2])
        ratios = [theirs / mine for theirs, mine in zip(plain, ours, strict=True)]
        peaks = [steps[side][-1]["peak_mb"] for side in sides[:2]]
        print(
            f"| {method} | {statistics.median(plain):.2f} | {statistics.median(ours):.2f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {peaks[0]:,.0f} | {peaks[1]:,.0f} |",
            flush=True,
        )
    if arguments.curves:
        for method, steps in curves.items():
            for side in sides[1:]:
                print_curves(method, side, steps["plain"], steps[side])


def in_turn(method: str, sides: tuple[str, ...], arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """What each step of each side took; the sides take turns."""
    command = [sys.executable, __file__, "--only", method, "--size", *map(str, arguments.size), "--side"]
    tiny = ["--tiny"] if arguments.tiny else []
    threads = str(arguments.threads)
    surroundings = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    children = {
        side: subprocess.Popen(
            [*command, side, *tiny], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
        )
        for side in sides
    }
    steps: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(arguments.steps + 1):
        for side, child in children.items():
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("step\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                sys.exit(f"{method}, {side}: the process ended early")
            steps[side].append(json.loads(line))
    for child in children.values():
        child.communicate()
    return steps


def answer(arguments: argparse.Namespace) -> None:
    """A side's process: a step for every line it reads, and a line of JSON in return."""
    import torch

    from acclimate.training.resources import peak_memory_mb, reset_peak_memory
    from step_cases import case, our_step, plain_step

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    torch.set_num_threads(arguments.threads)
    size = tuple(arguments.size)
    chosen = case(arguments.only[0], source=size, target=size, tiny=arguments.tiny)
    if arguments.side == "plain":
        step = plain_step(chosen)
    else:
        step = our_step(chosen, precision="auto" if arguments.side == "acclimate" else "32-true")
    reset_peak_memory()
    for _ in sys.stdin:
        begin = time.perf_counter()
        losses = {name: float(value) for name, value in step().items()}
        seconds = time.perf_counter() - begin
        print(json.dumps({"seconds": seconds, "peak_mb": peak_memory_mb(), "losses": losses}), file=out, flush=True)


def print_curves(method: str, side: str, plain: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    """How far two loss curves are apart."""
    print(f"\n{method}: losses of {len(plain)} steps, plain against {side}:")
    for name in plain[0]["losses"]:
        pairs = [(a["losses"][name], b["losses"][name]) for a, b in zip(plain, ours, strict=True)]
        worst = max(abs(a - b) / max(abs(a), 1e-3) for a, b in pairs)
        print(
            f"  {name:30} first {pairs[0][0]:.4f} {pairs[0][1]:.4f}   last {pairs[-1][0]:.4f} {pairs[-1][1]:.4f}   "
            f"largest relative difference {worst:.4f}"
        )


if __name__ == "__main__":
    run_script(main)
