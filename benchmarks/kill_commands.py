"""Kills single commands at random moments, does them again, and counts what is lost or left behind: a table.

    python benchmarks/kill_commands.py --kills 20

Each command runs once, uninterrupted; then it is killed with SIGKILL, half of the times after a random time and half
while a file is half written, and given again. A product is lost where a file differs by a byte from the uninterrupted
command's or is not there, left behind where there is a file that the uninterrupted command does not leave, and a
traceback is counted wherever one is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from acclimate.io.checksums import digest_of
from acclimate.stages import label_passes
from kill_stress import BASE, FORK, RECIPE, _slow_writing, to_the_end
from scripts import at_least_one, run_script

DATA = "scenes:camera,images=6,size=64x32"
RENDERS = "scenes:render,images=6,size=64x32"


def commands(folder: Path) -> dict[str, list[str]]:
    """Name of each command -> its arguments; ``OUT`` is where it writes to."""
    run = folder / "base/run"
    model = str(run / "1-base/model.safetensors")
    small = ["--set", "options.width=4", "--set", "options.blocks=1", "--set", "options.discriminator_width=4"]
    steps = ["--set", "training.steps=4", "--set", "training.batch_size=2", "--set", "training.checkpoint_minutes=0"]
    return {
        "label": ["label", model, "--data", DATA, "-o", "OUT/labels"],
        "translate (colour match)": [
            *("translate", "--source", RENDERS, "--target", DATA, "--translator", "histogram", "-o", "OUT/translated")
        ],
        "translate (CycleGAN)": [
            *("translate", "--source", RENDERS, "--target", DATA, "--translator", "cyclegan", "-o", "OUT/translated"),
            *(*small, *steps),
        ],
        "predict": ["predict", model, str(folder / "frames"), "-o", "OUT/predictions", "--overlay"],
        "export": ["export", model, "-o", "OUT/model.onnx"],
        "report": ["report", str(run), "-o", "OUT/page.html"],
        "evaluate": ["evaluate", model, "--data", DATA, "--split", "val", "--json", "OUT/scores.json"],
    }


@dataclass
class Cell:
    """What happened to one command."""

    name: str
    kills: int = 0
    while_writing: int = 0
    compared: int = 0
    lost: int = 0
    left: int = 0
    tracebacks: int = 0


def _command(arguments: list[str], out: Path, log: Path, prepare: Callable[[], None] | None) -> None:
    stream = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(stream, number)
    torch.set_num_threads(1)
    label_passes.SECONDS_BETWEEN_SAVES = 0.0
    out.mkdir(parents=True, exist_ok=True)
    if prepare is not None:
        prepare()
    from acclimate.cli.app import main

    sys.argv = ["acclimate", *(part.replace("OUT", str(out)) for part in arguments)]
    with contextlib.suppress(SystemExit):
        main()
    sys.stdout.flush()
    os._exit(0)


def started(arguments: list[str], out: Path, log: Path, prepare: Callable[[], None] | None = None) -> Any:
    """Starts a command in a process of its own."""
    process = FORK.Process(target=_command, args=(arguments, out, log, prepare))
    process.start()
    return process


def files_of(out: Path) -> dict[str, str]:
    """Digest of every file below ``out``; pages and programs name times and folders, and only have to be there."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.parent.name != "tensorboard":  # one file per start, named by time
            name = str(path.relative_to(out))
            if path.suffix == ".safetensors":
                found[name] = _content_of(path)
            else:
                whole = path.suffix in (".png", ".jpg", ".csv") and "lock" not in path.name
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if whole else "there"
    return found


def _content_of(path: Path) -> str:
    """Digest of header and tensors: the library writes the entries of a header in any order."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        return digest_of(dict(sorted((file.metadata() or {}).items())), tensors)


def stress(name: str, arguments: list[str], folder: Path, *, kills: int, seed: int) -> Cell:
    """Kills one command ``kills`` times, two kills to a life, and compares what it leaves."""
    cell, chance = Cell(name), random.Random(f"{seed} {name}")
    folder.mkdir(parents=True)
    log = folder / "log"
    begin = time.monotonic()
    started(arguments, folder / "whole", log).join()
    seconds = time.monotonic() - begin
    wanted = files_of(folder / "whole")
    if not wanted:
        raise SystemExit(f"{name}: a command that nobody killed left nothing: {log.read_text()[-500:]}")
    starts = 0
    while cell.kills < kills and starts < 10 * kills:
        out = folder / f"cut-{starts}"
        for writing in (True, False):
            marker = folder / f"marker-{starts}"
            prepare = partial(_slow_writing, marker, chance.randint(1, 12)) if writing else None
            process = started(arguments, out, log, prepare)
            starts += 1
            deadline = time.monotonic() + (60 if writing else chance.uniform(0.05, 0.95) * seconds)
            while process.is_alive() and time.monotonic() < deadline and not marker.exists():
                time.sleep(0.002)
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                cell.kills += 1
                cell.while_writing += writing
            process.join()
        started(arguments, out, log).join()
        found = files_of(out)
        cell.compared += len(wanted)
        cell.lost += sum(found.get(key) != value for key, value in wanted.items())
        cell.left += len(found.keys() - wanted.keys())
        for key in sorted(wanted.keys() | found.keys()):
            if found.get(key) != wanted.get(key):
                print(f"{name}: {key} was {wanted.get(key)}, is {found.get(key)}", file=sys.stderr)
        shutil.rmtree(out)
    cell.tracebacks = log.read_text(errors="replace").count("Traceback (most recent call last)")
    return cell


def table(results: list[Cell]) -> str:
    """The results as Markdown."""
    head = ("command", "kills", "of these while writing", "files compared", "lost", "left behind", "tracebacks")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    sums = [sum(column) for column in zip(*(astuple(cell)[1:] for cell in results), strict=True)]
    rows = [*(astuple(cell) for cell in results), ("all", *sums)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=at_least_one, default=4, help="per command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands whose name contains this")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "frames").mkdir()
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 255, (32, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"frames/{number}.png")
        (folder / "base.yaml").write_text(RECIPE + BASE)
        to_the_end(folder / "base.yaml", folder / "base/run")
        for name, given in commands(folder).items():
            if arguments.only in name:
                place = folder / str(len(results))
                results.append(stress(name, given, place, kills=arguments.kills, seed=arguments.seed))
                print(results[-1], file=sys.stderr, flush=True)
    print(table(results))
    sys.exit(any(cell.lost or cell.left or cell.tracebacks for cell in results))


if __name__ == "__main__":
    run_script(main)
