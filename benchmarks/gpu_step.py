"""Training steps on a GPU: acclimate's against the published loops, and against what the card can multiply.

    python benchmarks/gpu_step.py [--output gpu_step.json] [--seconds 150] [--only advent dacs mic vfm-uda]

AdvEnt on DeepLab-V2 ResNet-101 (1280x720 source, 1024x512 target, batch 1 + 1), DACS and MIC on the same network
(512x512, 2 + 2) and VFM-UDA on DINOv2-B (1024x1024, 1 + 1); random weights, pictures of the built-in scenes that are
on the card already. Each is timed as a plain float32 loop (`plain_steps.py`) without and with TF32, as acclimate runs
it by default but for compiling, *apart* (with casts and counts in each layer, see `operators.py`), and compiled. A row
has the median time of a step, images of both domains per second, the peak of memory allocated, the compute that
`torch.utils.flop_counter` counts in acclimate's step, and its share of the rate of a large bfloat16 matrix product
measured at the start. acclimate's rows also name the kernels that took most of one step, and how long the card was busy
in it. Rows that might not be done within ``--seconds`` are left out and said to be.

    python benchmarks/gpu_step.py --device cpu --tiny

runs all of it in small, where there is no GPU: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from scripts import at_least_one, run_script
from step_cases import Case, case, our_step, plain_step

CASES = ("advent", "dacs", "mic", "vfm-uda")
VARIANTS = ("plain", "plain, TF32", "acclimate", "acclimate, apart", "acclimate, compiled")
NEEDS = {"plain": 15, "plain, TF32": 12, "acclimate": 15, "acclimate, apart": 12, "acclimate, compiled": 60}
"""Seconds that have to be left for a row to begin: choosing kernels takes some, compiling most."""
LONGEST = 3.0
"""Seconds of timed steps of a row, beyond which no further step begins."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=at_least_one, default=15, help="timed steps of a row, after two that warm up")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="measure some of the methods")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, help="measure some of the ways")
    parser.add_argument("--seconds", type=float, default=150.0, help="for all of it")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="small networks and pictures")
    parser.add_argument("--output", help="also write everything to this JSON file")
    arguments = parser.parse_args()
    begin = time.monotonic()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu --tiny tries the script")
    torch.backends.cudnn.benchmark = True  # as the authors' loops have it, and acclimate for pictures of one size
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "rows": []}
    found["matmul_tflops"] = matmul_tflops(device, 512 if arguments.tiny else 8192)
    print(f"{name}, torch {torch.__version__}: {found['matmul_tflops']:.1f} TFLOP/s in a bfloat16 matrix product")
    counted: dict[str, float] = {}
    # ours, whose compute is counted, and what it is compared with come first, method by method, so that little time
    # gives whole comparisons; compiling takes longest and comes last, for the two methods that differ most
    order = [(method, variant) for method in arguments.only for variant in ("acclimate", "plain, TF32")]
    order += [(method, "acclimate, apart") for method in arguments.only]
    order += [(method, "plain") for method in arguments.only]
    order += [(method, "acclimate, compiled") for method in arguments.only if method in ("advent", "vfm-uda")]
    for method, variant in order:
        if variant in arguments.variants:
            if time.monotonic() - begin > arguments.seconds - NEEDS[variant]:
                row: dict[str, Any] = {"method": method, "step": variant, "left_out": "time was up"}
            else:
                row = measured(method, variant, device, arguments, counted)
            if row.get("seconds") and method in counted:
                row["tflop"] = counted[method]
                row["share_of_matmul"] = counted[method] / row["seconds"] / found["matmul_tflops"]
            found["rows"].append(row)
            print(json.dumps(row), flush=True)
    found["seconds"] = round(time.monotonic() - begin, 1)
    print_table(found["rows"])
    print(f"all of it took {found['seconds']} s")
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as stream:
            json.dump(found, stream, indent=1)


def sized(method: str, tiny: bool) -> Case:
    """The method at the sizes it is timed at."""
    if method == "advent":
        source, target = ((64, 32), (64, 32)) if tiny else ((1280, 720), (1024, 512))
        return case(method, source=source, target=target, tiny=tiny)
    side = 64 if tiny else 1024 if method == "vfm-uda" else 512
    return case(method, source=(side, side), target=(side, side), images=1 if method == "vfm-uda" else 2, tiny=tiny)


def measured(
    method: str, variant: str, device: torch.device, arguments: argparse.Namespace, counted: dict[str, float]
) -> dict[str, Any]:
    """A row: median seconds of a step, images per second and peak memory, or why it failed."""
    row: dict[str, Any] = {"method": method, "step": variant}
    chosen = sized(method, arguments.tiny)
    try:
        with tensor_cores(float32=variant == "plain, TF32"):
            begin = time.monotonic()
            if variant.startswith("plain"):
                step = plain_step(chosen, device)
            else:
                training = {"compile": "always" if variant == "acclimate, compiled" else "never"}
                step = our_step(
                    chosen, device, training=training, together=False if variant == "acclimate, apart" else None
                )
            if variant == "acclimate":
                with FlopCounterMode(display=False) as counter:
                    losses = step()
                counted[method] = counter.get_total_flops() / 1e12
            else:
                losses = step()
            step()
            wait(device)
            row["warm_up_seconds"] = round(time.monotonic() - begin, 2)
            forget_peak(device)
            row["seconds"] = median_seconds(step, arguments.steps, device)
            row["images_per_second"] = 2 * chosen.images / row["seconds"]
            row["peak_mb"] = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
            row["losses"] = {name: round(float(value), 4) for name, value in losses.items()}
            if variant == "acclimate" and device.type == "cuda":
                row |= busy(step)
            del step, losses
    except Exception as error:  # one row that fails must not take the others with it
        row["failed"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300] if str(error) else ''}"
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def median_seconds(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """Of a step that has been warmed up."""
    seconds: list[float] = []
    while len(seconds) < steps and (sum(seconds) < LONGEST or len(seconds) < 3):
        begin = time.perf_counter()
        step()
        wait(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def busy(step: Callable[[], object]) -> dict[str, Any]:
    """How long the card computes in a step, and the kernels that take most of it, in milliseconds."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    spent = {event.key[:80]: event.self_device_time_total / 1000 for event in profiler.key_averages()}
    most = sorted(spent, key=lambda name: -spent[name])[:12]
    return {"busy_ms": round(sum(spent.values()), 2), "kernels": {name: round(spent[name], 2) for name in most}}


def matmul_tflops(device: torch.device, side: int) -> float:
    """10^12 operations per second in a square bfloat16 matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(a)
    times = []
    for number in range(12):
        begin = time.perf_counter()
        for _ in range(10):
            torch.mm(a, b, out=product)
        wait(device)
        if number > 1:
            times.append((time.perf_counter() - begin) / 10)
    return 2 * side**3 / statistics.median(times) / 1e12


@contextmanager
def tensor_cores(*, float32: bool) -> Iterator[None]:
    """TF32 on or off for matrix products and convolutions in float32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = float32
    yield


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def print_table(rows: list[dict[str, Any]]) -> None:
    """All rows, with how many times as fast as both plain loops they are."""
    times = {(row["method"], row["step"]): row["seconds"] for row in rows if "seconds" in row}
    print("\n| method | step | ms | busy ms | images/s | peak MB | of matmul | plain / it | TF32 / it |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (CASES.index(row["method"]), VARIANTS.index(row["step"]))):
        method, variant = row["method"], row["step"]
        if "seconds" not in row:
            print(f"| {method} | {variant} | {row.get('failed') or row.get('left_out')} | | | | | | |")
            continue
        ratios = []
        for base in VARIANTS[:2]:
            against = times.get((method, base))
            ratios.append(f"{against / row['seconds']:.2f}" if against else "")
        peak = f"{row['peak_mb']:,.0f}" if row["peak_mb"] else ""
        share = f"{100 * row['share_of_matmul']:.0f} %" if "share_of_matmul" in row else ""
        print(
            f"| {method} | {variant} | {1000 * row['seconds']:.1f} | {row.get('busy_ms', '')} "
            f"| {row['images_per_second']:.1f} | {peak} | {share} "
            f"| {ratios[0]} | {ratios[1]} |"
        )


if __name__ == "__main__":
    run_script(main)
