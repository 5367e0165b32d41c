"""Training, labelling and scoring by one process and by two, one thread each: how many times as fast.

    python benchmarks/processes.py [--repeats 5] [--processes 2] [--images 48] [--size 512x256] [--width 32]

A `small` network of ten classes. *Training*: so many steps of a method with two images of source and of target for each
process, so that two processes see twice as many. *label* and *evaluate*: the stages on JPEGs with labels, from the
loaded program to the last file. *Alongside* is the same work as in one process, in processes that know nothing of each
other: what the machine itself gives. *Waited* is the share of the steps' time in which the exchange of gradients was
waited for after the last backward pass. Turns are taken, ratios are medians over repeats (least to most), and labels,
manifest and IoU of both numbers of processes have to be the same bits, else the exit status is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scripts import at_least_one, run_script

METHODS = ("source_only", "advent", "dacs")
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
    parser.add_argument("--member", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.member is not None:
        work(arguments, arguments.member)
        return
    with TemporaryDirectory() as folder:
        write_data(Path(folder), arguments)
        rounds = [turn(Path(folder) / str(number), arguments) for number in range(arguments.repeats)]
    print(f"{arguments.processes} processes, one thread each; load {os.getloadavg()[0]:.2f} at the end\n")
    print("| work | one, s | together, s | alongside, s | ratio | the machine's own | waited |")
    print("|---|---|---|---|---|---|---|")
    for name in rounds[0]["one"]["seconds"]:
        one, several, beside = (
            [each[how]["seconds"][name] for each in rounds] for how in ("one", "several", "alongside")
        )
        factor = arguments.processes if name in METHODS else 1  # so much more work is done
        ratios = [factor * first / second for first, second in zip(one, several, strict=True)]
        ceiling = [arguments.processes * first / second for first, second in zip(one, beside, strict=True)]
        waited = [each["several"]["waited"].get(name) for each in rounds]
        share = f"{100 * statistics.median(waited):.1f} %" if None not in waited else "–"
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        seconds = " | ".join(f"{statistics.median(each):.2f}" for each in (one, several, beside))
        print(f"| {name} | {seconds} | {told} | {statistics.median(ceiling):.2f} | {share} |")
    rates = [each["several"]["gigabytes"] for each in rounds]
    print(f"\n{PASSED} MB of gradients on their own: {statistics.median(rates):.2f} GB/s, as a ring passes them on")
    same = all(each["one"]["results"] == each["several"]["results"] for each in rounds)
    print(f"labels, manifest and IoU: {'the same bits' if same else 'DIFFERENT'}")
    sys.exit(0 if same else 1)


def turn(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One process, several together, and several that know nothing of each other."""
    folder.mkdir()
    together = started(folder / "several", arguments.processes, arguments)
    beside = [started(folder / f"alongside-{rank}", 1, arguments, wait=False) for rank in range(arguments.processes)]
    for process in beside:
        ended(process)
    found = {"one": started(folder / "one", 1, arguments), "several": together}
    each = [json.loads((folder / f"alongside-{rank}.json").read_text()) for rank in range(arguments.processes)]
    slowest = {name: max(result["seconds"][name] for result in each) for name in each[0]["seconds"]}
    return found | {"alongside": {"seconds": slowest}}


def started(place: Path, count: int, arguments: argparse.Namespace, *, wait: bool = True) -> Any:
    """Runs the work in so many processes; what the first of them measured, or, not waited for, the process."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    command = [sys.executable, __file__, "--member", str(place)]
    for name in ("images", "steps", "size", "width"):
        command += [f"--{name}", str(getattr(arguments, name))]
    processes = []
    for rank in range(count):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        if count > 1:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
    if not wait:
        return processes[0]
    for process in processes:
        ended(process)
    return json.loads(place.with_suffix(".json").read_text())


def ended(process: subprocess.Popen[str]) -> None:
    said = process.communicate()[1]
    if process.returncode:
        sys.exit(said)


def write_data(folder: Path, arguments: argparse.Namespace) -> None:
    """JPEGs with something in them, label maps, and a network with random weights."""
    import numpy as np
    import torch
    from PIL import Image

    from acclimate.models.checkpoint import ModelCard, save_network

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
    torch.manual_seed(0)
    network = network_of(arguments)
    colours = tuple((25 * place, 0, 0) for place in range(len(CLASSES)))
    card = ModelCard(
        network=network.config, class_space="letters", classes=CLASSES, colours=colours, input_size=(width, height)
    )
    save_network(folder / "model.safetensors", network, card=card)


def network_of(arguments: argparse.Namespace) -> Any:
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network

    return build_network(NetworkConfig.parse({"name": "small", "width": arguments.width}), len(CLASSES))


def work(arguments: argparse.Namespace, place: Path) -> None:
    """What each process does; the first one writes down how long it took until all were done."""
    import torch
    from lightning_fabric.utilities.seed import seed_everything

    from acclimate.stages.train import launched_fabric
    from acclimate.training.team import Team

    torch.set_num_threads(1)
    seed_everything(0, verbose=False)
    fabric = launched_fabric("32-true")
    team = Team(fabric)
    seconds: dict[str, float] = {}
    waited: dict[str, float] = {}
    for name in METHODS:
        seconds[name], share = trained(name, arguments, fabric)
        if share is not None:
            waited[name] = share
    results = {}
    for name, do in (("label", labelled), ("evaluate", scored)):
        team.meet()
        begin = time.monotonic()
        results[name] = do(place, team)
        team.meet()
        seconds[name] = time.monotonic() - begin
    rate = passed_on(fabric)
    if team.first:
        found = {"seconds": seconds, "waited": waited, "results": results, "gigabytes": rate}
        place.with_suffix(".json").write_text(json.dumps(found))


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


def trained(name: str, arguments: argparse.Namespace, fabric: Any) -> tuple[float, float | None]:
    """Seconds of the steps, and which share of them the exchange of gradients was waited for."""
    import torch

    from acclimate.data.sample import Batch
    from acclimate.methods import Setting, method_class, method_options
    from acclimate.methods.optimizers import OptimizerSettings
    from acclimate.training.gradients import GradientExchange
    from acclimate.training.loop import train_step
    from acclimate.training.placing import place
    from acclimate.training.settings import TrainingSettings

    width, height = map(int, arguments.size.split("x"))
    options = {"discriminator_width": 16} if name == "advent" else {}
    torch.manual_seed(0)
    setting = Setting(optimizer=OptimizerSettings(learning_rate=1e-5))
    learner = method_class(name)(network_of(arguments), options=method_options(name, options), setting=setting)
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
    warm = 2
    begin = at_begin = 0.0
    for step in range(warm + arguments.steps):
        if step == warm:
            fabric.barrier()
            begin = time.monotonic()
            at_begin = exchange.done.waited if exchange else 0.0
        train_step(learner, source, seen, step, fabric=fabric, exchange=exchange)
    fabric.barrier()
    seconds = time.monotonic() - begin
    if exchange is None:
        return seconds, None
    exchange.close()
    return seconds, (exchange.done.waited - at_begin) / seconds


def opened(place: Path) -> tuple[Path, Any]:
    from acclimate.data.registry import open_dataset

    root = place.parent.parent
    return root / "model.safetensors", open_dataset(f"folder:{root / 'data/dataset.yaml'}", split="train")


def labelled(place: Path, team: Any) -> str:
    """Labels the set, as without labels of its own; the digest of all it leaves."""
    from acclimate.data.wrappers import Subset
    from acclimate.evaluation.inference import Inference
    from acclimate.models.checkpoint import read_card
    from acclimate.pseudo.thresholds import Selection
    from acclimate.stages.label import LabelRequest, label

    checkpoint, data = opened(place)
    bare = Subset(data, range(len(data)))
    bare.has_labels = False
    card = read_card(checkpoint)
    request = LabelRequest((checkpoint,), bare, card.space(), Selection(), Inference(size=card.input_size))
    label(request, folder=place, device="cpu", team=team)
    digest = hashlib.sha256()
    for path in [*sorted(place.rglob("*.png")), place / "manifest.json"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def scored(place: Path, team: Any) -> Any:
    """Scores the network on the set; its IoU."""
    from acclimate.evaluation.inference import ONCE
    from acclimate.models.checkpoint import read_card
    from acclimate.stages.data import protocol_and_classes
    from acclimate.stages.evaluate import EvaluateRequest, evaluate

    checkpoint, data = opened(place)
    card = read_card(checkpoint)
    protocol, space = protocol_and_classes(None, data.spec, classes=card.space())
    request = EvaluateRequest(
        "small", "source_only", 0, [checkpoint], None, data, protocol.asking(ONCE, size=card.input_size), space, {}, 0
    )
    row: Any = evaluate(request, folder=None, title="evaluate", team=team)
    return row.iou


if __name__ == "__main__":
    run_script(main)
