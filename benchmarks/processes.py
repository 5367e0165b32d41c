"""Training, labelling and scoring by one process and by two, one thread each: how many times as fast.

    python benchmarks/processes.py [--repeats 5] [--processes 2] [--images 48] [--size 512x256] [--width 32]

A `small` network of ten classes. *Training*: so many steps of a method with two images of source and of target for each
process, so that two processes see twice as many. *label* and *evaluate*: the stages on JPEGs, from the loaded program
to the last file. *Alongside* is the work of one process in each of them at once, without a word between them: what the
machine itself gives. *Waited* is the share of the steps' time in which the exchange of gradients was waited for after
the last backward pass. The three take turns in the same processes; ratios are medians over repeats (least to most).
Labels, manifest and IoU of both numbers of processes have to be the same bits, else the exit status is 1.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scripts import at_least_one, random_model, run_script

METHODS = ("source_only", "advent", "dacs")
WORK = (*METHODS, "label", "evaluate")
HOW = ("one", "together", "alongside")
CLASSES = tuple("abcdefghij")
PASSED = 200
"""Megabytes that are exchanged by themselves: the gradients of DeepLab-V2 on ResNet-101."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=5)
    parser.add_argument("--processes", type=at_least_one, default=2)
    parser.add_argument("--images", type=at_least_one, default=48, help="that are labelled and scored")
    parser.add_argument("--steps", type=at_least_one, default=6, help="of training that are timed")
    parser.add_argument("--size", default="512x256", help="WIDTHxHEIGHT")
    parser.add_argument("--width", type=at_least_one, default=32, help="of the network")
    parser.add_argument("--only", nargs="+", choices=WORK, default=WORK)
    parser.add_argument("--member", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.member is not None:
        work(arguments, arguments.member)
        return
    with TemporaryDirectory() as folder:
        write_data(Path(folder), arguments)
        rounds = measured(Path(folder), arguments)
    print(f"{arguments.processes} processes, one thread each; load {os.getloadavg()[0]:.2f} at the end\n")
    print("| work | one, s | together, s | alongside, s | ratio | the machine's own | waited |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.only:
        one, several, beside = ([each[name][how] for each in rounds] for how in HOW)
        factor = arguments.processes if name in METHODS else 1  # so much more work is done
        ratios = [factor * first / second for first, second in zip(one, several, strict=True)]
        ceiling = [arguments.processes * first / second for first, second in zip(one, beside, strict=True)]
        waited = [each[name]["waited"] for each in rounds if "waited" in each[name]]
        share = f"{100 * statistics.median(waited):.1f} %" if waited else "–"
        seconds = " | ".join(f"{statistics.median(each):.2f}" for each in (one, several, beside))
        print(f"| {name} | {seconds} | {spread(ratios)} | {spread(ceiling)} | {share} |")
    rates = [each["gigabytes"] for each in rounds]
    print(f"\n{PASSED} MB of gradients on their own: {statistics.median(rates):.2f} GB/s, as a ring passes them on")
    same = all(each["same"] for each in rounds)
    print(f"labels, manifest and IoU: {'the same bits' if same else 'DIFFERENT'}")
    sys.exit(0 if same else 1)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measured(folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What the first of the processes measured, for each repeat."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    command = [sys.executable, __file__, "--member", str(folder)]
    for name in ("images", "steps", "size", "width", "repeats"):
        command += [f"--{name}", str(getattr(arguments, name))]
    command += ["--only", *arguments.only]
    team = []
    for rank in range(arguments.processes):
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(arguments.processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        with open(folder / f"{rank}.txt", "w") as said:
            team.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said))
    for rank, process in enumerate(team):
        if process.wait():
            sys.exit((folder / f"{rank}.txt").read_text())
    found: list[dict[str, Any]] = json.loads((folder / "measured.json").read_text())
    return found


def write_data(folder: Path, arguments: argparse.Namespace) -> None:
    """JPEGs with something in them, label maps, and a network with random weights."""
    import numpy as np
    from PIL import Image

    width, height = map(int, arguments.size.split("x"))
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / "data" / name).mkdir(parents=True)
    for number in range(arguments.images):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)).resize((width, height))
        fine = rng.integers(-20, 21, (height, width, 1))
        pixels = np.clip(np.asarray(coarse).astype(int) + fine, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"data/images/{number:04}.jpg", quality=90)
        ids = rng.integers(0, len(CLASSES), (8, 16), dtype=np.uint8)
        Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST).save(
            folder / f"data/labels/{number:04}.png"
        )
    (folder / "data/dataset.yaml").write_text(
        f"name: letters\nimages: images\nlabels: labels\nclasses: [{', '.join(CLASSES)}]\n"
    )
    random_model(folder / "model.safetensors", network_of(arguments), classes=CLASSES, size=(width, height))


def network_of(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"name": "small", "width": arguments.width}


def work(arguments: argparse.Namespace, folder: Path) -> None:
    """What each process does; the first one writes down how long it took until all were done."""
    import torch
    from lightning_fabric import Fabric

    from acclimate.stages.train import launched_fabric
    from acclimate.training.team import ALONE, Team

    torch.set_num_threads(1)
    fabric = launched_fabric("32-true")
    alone = Fabric(accelerator="cpu", devices=1)
    team = Team(fabric)
    rounds = []
    for number in range(arguments.repeats):
        found: dict[str, Any] = {}
        for name in [each for each in METHODS if each in arguments.only]:
            found[name] = {}
            for how in HOW:
                busy = how != "one" or team.first
                do = training_of(name, arguments, fabric if how == "together" else alone, busy=busy)
                found[name][how], waited = timed(do, team)
                if how == "together":
                    found[name]["waited"] = waited / found[name][how]
        results = {}
        stages = {"label": labelled, "evaluate": scored}
        for name, stage in [each for each in stages.items() if each[0] in arguments.only]:
            found[name] = {}
            for how in HOW:
                place = folder / f"{number}-{how}" / ("" if how == "together" else str(team.rank))
                with_whom = team if how == "together" else ALONE
                busy = how != "one" or team.first
                do = functools.partial(stage, folder, place, with_whom) if busy else do_nothing
                found[name][how], results[name, how] = timed(do, team)
        found["same"] = all(results[name, how] == results[name, "one"] for name, how in results)
        found["gigabytes"] = passed_on(fabric)
        rounds.append(found)
    if team.first:
        (folder / "measured.json").write_text(json.dumps(rounds))


def do_nothing() -> None:
    """While another process works."""


def timed(do: Callable[[], Any], team: Any) -> tuple[float, Any]:
    """Seconds until all processes have done it, and what it gave here."""
    team.meet()
    begin = time.monotonic()
    found = do()
    team.meet()
    return time.monotonic() - begin, found


def passed_on(fabric: Any) -> float:
    """GB/s between two processes: 2 (N - 1) / N of the bytes travel in a ring."""
    import torch

    if fabric.world_size == 1:
        return 0.0
    content = torch.zeros(PASSED * 250_000)
    times = []
    for _ in range(4):
        fabric.barrier()
        begin = time.monotonic()
        torch.distributed.all_reduce(content)
        times.append(time.monotonic() - begin)
    return 2 * (fabric.world_size - 1) / fabric.world_size * PASSED / 1e3 / statistics.median(times[1:])


def training_of(name: str, arguments: argparse.Namespace, fabric: Any, *, busy: bool) -> Callable[[], Any]:
    """Steps of a method, warmed up; they give the seconds in which gradients were waited for."""
    import torch

    from acclimate.data.sample import Batch
    from acclimate.methods import Setting, method_class, method_options
    from acclimate.methods.optimizers import OptimizerSettings
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network
    from acclimate.training.gradients import GradientExchange
    from acclimate.training.loop import train_step
    from acclimate.training.placing import place
    from acclimate.training.settings import TrainingSettings

    if not busy:
        return do_nothing
    width, height = map(int, arguments.size.split("x"))
    options = {"discriminator_width": 16} if name == "advent" else {}
    torch.manual_seed(0)
    setting = Setting(optimizer=OptimizerSettings(learning_rate=1e-5))
    network = build_network(NetworkConfig.parse(network_of(arguments)), len(CLASSES))
    learner = method_class(name)(network, options=method_options(name, options), setting=setting)
    place(learner, TrainingSettings(), torch.device("cpu"))
    learner.train()
    generator = torch.Generator().manual_seed(fabric.global_rank)
    ids = torch.randint(0, len(CLASSES), (2, height // 8, width // 8), generator=generator)
    ids = ids.repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = torch.rand(2, 2, 3, height, width, generator=generator)
    source = Batch(images[0], ids, ["a", "b"]).to("cpu", channels_last=True)
    target = Batch(images[1], None, ["c", "d"]).to("cpu", channels_last=True)
    exchange = GradientExchange(learner, fabric) if fabric.world_size > 1 else None
    seen = target if method_class(name).sees_target else None

    def steps(count: int) -> None:
        for step in range(count):
            train_step(learner, source, seen, step, fabric=fabric, exchange=exchange)

    def measured_steps() -> float:
        before = exchange.done.waited if exchange else 0.0
        steps(arguments.steps)
        if exchange is None:
            return 0.0
        exchange.close()
        return exchange.done.waited - before

    steps(2)
    return measured_steps


def opened(folder: Path) -> tuple[Path, Any]:
    from acclimate.data.registry import open_dataset

    return folder / "model.safetensors", open_dataset(f"folder:{folder / 'data/dataset.yaml'}", split="train")


def labelled(folder: Path, place: Path, team: Any) -> str:
    """Labels the set, as without labels of its own; the digest of all it leaves."""
    from acclimate.data.wrappers import Subset
    from acclimate.evaluation.inference import Inference
    from acclimate.models.checkpoint import read_card
    from acclimate.pseudo.thresholds import Selection
    from acclimate.stages.label import LabelRequest, label

    checkpoint, data = opened(folder)
    bare = Subset(data, range(len(data)))
    bare.has_labels = False
    card = read_card(checkpoint)
    request = LabelRequest((checkpoint,), bare, card.space(), Selection(), Inference(size=card.input_size))
    label(request, folder=place, device="cpu", team=team)
    digest = hashlib.sha256()
    for path in [*sorted(place.rglob("*.png")), place / "manifest.json"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def scored(folder: Path, place: Path, team: Any) -> Any:
    """Scores the network on the set; its IoU."""
    from acclimate.evaluation.inference import ONCE
    from acclimate.models.checkpoint import read_card
    from acclimate.stages.data import protocol_and_classes
    from acclimate.stages.evaluate import EvaluateRequest, evaluate

    checkpoint, data = opened(folder)
    card = read_card(checkpoint)
    protocol, space = protocol_and_classes(None, data.spec, classes=card.space())
    request = EvaluateRequest(
        "small", "source_only", 0, [checkpoint], None, data, protocol.asking(ONCE, size=card.input_size), space, {}, 0
    )
    row: Any = evaluate(request, folder=None, title="evaluate", team=team)
    return row.iou


if __name__ == "__main__":
    run_script(main)
