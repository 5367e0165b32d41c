"""Kills every method and verb at random moments and counts what is lost: a table of kills and losses.

    python benchmarks/kill_stress.py --kills 4

Each cell runs a small recipe to its end once, uninterrupted, then again with SIGKILL: half of the kills after a random
time, half while a file is half written (writing is slowed down in the killed process alone). A cell loses where any
product - weights, the last checkpoint with its optimisers and discriminators, history, pseudo-labels, scores - differs
by a bit from the uninterrupted run's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from acclimate.errors import UserError
from acclimate.io import files
from acclimate.methods import METHODS
from acclimate.pipeline import run as pipeline
from acclimate.recipe.load import VERBS, load_recipe
from acclimate.stages import label_passes
from acclimate.training import checkpoint
from scripts import at_least_one, run_script

RECIPE = """
name: stress
source: scenes:render,images=6,size=64x32
target: scenes:camera,images=6,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 8
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [64, 32], flip: true}
  target_transform: {size: [64, 32]}
  checkpoint_minutes: 0
  log_every: 1
stages:
"""
FORK = multiprocessing.get_context("fork")  # torch is imported once; each run is a process of its own all the same
BASE = "  base: {train: source_only}\n"
TRANSLATION = """translation:
  options: {width: 4, blocks: 1, discriminator_width: 4, pool_size: 3}
  training: {steps: 8, batch_size: 2, checkpoint_minutes: 0, log_every: 1}
"""
VERB_STAGES = {
    "translate": f"{BASE}  translated: {{translate: cyclegan, perceptual: base}}\n",
    "label": f"{BASE}  labels: {{label: base}}\n",
    "evaluate": f"{BASE}  scores: {{evaluate: [base], pictures: 1}}\n",
}
"""The stages with which a verb other than train is tried; a verb without an entry is named as not covered."""


@dataclass
class Cell:
    """What happened to one method or verb."""

    name: str
    kills: int = 0
    while_writing: int = 0
    starts: int = 0
    lost: int = 0
    compared: int = 0


def cells() -> dict[str, str]:
    """Name of each method × verb -> its recipe."""
    found = {}
    for name, method in METHODS.items():
        stages = f"  it: {{train: {name}}}\n"
        if method.trains_on == "pseudo-labels":
            stages = f"{BASE}  labels: {{label: base}}\n  it: {{train: {name}, pseudo_labels: labels}}\n"
        more = "".join(f", {key}: {str(value).lower()}" for key, value in method.network_options.items())
        found[f"train {name}"] = RECIPE.replace("width: 16", f"width: 16{more}") + stages
    recipe = RECIPE.replace("stages:\n", f"{TRANSLATION}stages:\n")
    return found | {verb: recipe + stages for verb, stages in VERB_STAGES.items()}


def started(recipe: Path, output: Path, prepare: Callable[[], None] | None = None) -> Any:
    """Starts one run in a process of its own, whose last state is kept for comparison.

    Args:
        prepare: what the process does before it begins.
    """
    process = FORK.Process(target=_run, args=(recipe, output, prepare))
    process.start()
    return process


def _run(recipe: Path, output: Path, prepare: Callable[[], None] | None) -> None:
    os.environ["TQDM_DISABLE"] = "1"
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (for the life of this process)
    torch.set_num_threads(1)
    checkpoint.Checkpoints.clear = lambda self: None  # type: ignore[method-assign]  # the last state is compared too
    label_passes.SECONDS_BETWEEN_SAVES = 0.0
    if prepare is not None:
        prepare()
    loaded, origins = load_recipe(str(recipe))
    pipeline.run(loaded, pipeline.Run(output=output), origins=origins)
    os._exit(0)


def _slow_writing(marker: Path, after: int) -> None:
    """The file number ``after`` is written half, slowly."""
    replace, count = os.replace, 0

    def slowly(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        if count == after:
            content = Path(source).read_bytes()
            Path(source).write_bytes(content[: len(content) // 2])
            marker.write_text(str(target))
            time.sleep(60)
        replace(source, target)

    files.os.replace = slowly  # type: ignore[assignment]


def products(store: Path) -> dict[str, str]:
    """Digests of everything that must not depend on interruptions."""
    found = {}
    for path in sorted(store.rglob("*")):
        name = str(path.relative_to(store))
        if path.name in (
            "model.safetensors",
            "translator.safetensors",
            "history.csv",
            "manifest.json",
            "curves.json",
        ) or (path.suffix == ".png" and path.parent.name in ("labels", "images", "target-0", "source-0")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "scores.json":
            rows = json.loads(path.read_text())["rows"]
            found[name] = str([{k: v for k, v in row.items() if k != "peak_memory_mb"} for row in rows])
    for folder in sorted([*store.glob("train-*"), *store.glob("translate-*")]):
        state = checkpoint.Checkpoints(folder).newest()
        if state is not None:
            found[f"{folder.name}/state"] = _digest({k: v for k, v in state.items() if k != "seconds"})
    return found


def _digest(state: Any) -> str:
    digest = hashlib.sha256()
    for part in _flat(state):
        digest.update(part)
    return digest.hexdigest()


def _flat(state: Any) -> Iterator[bytes]:
    if isinstance(state, torch.Tensor):
        yield f"{state.dtype}{tuple(state.shape)}".encode()
        yield state.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(state, dict):
        for key, value in state.items():
            yield str(key).encode()
            yield from _flat(value)
    elif isinstance(state, (list, tuple)):
        for value in state:
            yield from _flat(value)
    else:
        yield repr(state).encode()


def to_the_end(recipe: Path, output: Path, prepare: Callable[[], None] | None = None) -> None:
    """One run that nobody kills."""
    process = started(recipe, output, prepare)
    process.join(300)
    if process.exitcode != 0:
        raise SystemExit(f"{recipe}: a run that nobody killed ended with {process.exitcode}")


def stress(name: str, text: str, folder: Path, *, kills: int, seed: int) -> Cell:
    """Runs one cell until it has survived ``kills`` kills, and compares what it leaves."""
    cell, chance = Cell(name), random.Random(f"{seed} {name}")
    folder.mkdir(parents=True)
    recipe = folder / "stress.yaml"
    recipe.write_text(text)
    base = folder / "base.yaml"
    if "base" in text:  # the verb's own work is what is cut: the stage it needs is there before
        base.write_text(RECIPE + BASE)
        to_the_end(base, folder / "base/run")
        shutil.copytree(folder / "base/.stages", folder / "whole/.stages")
    begin = time.monotonic()
    to_the_end(recipe, folder / "whole/run")
    seconds = time.monotonic() - begin
    round_ = 0
    while cell.kills < kills and cell.starts < 10 * kills:
        # a new life for each two kills: one at a random time, one in the middle of a file
        cut = folder / f"cut-{round_}"
        round_ += 1
        if base.exists():
            shutil.copytree(folder / "base/.stages", cut / ".stages")
        for writing in (True, False):
            marker = folder / f"marker-{cell.starts}"
            # which of the files is cut: states and checksums, histories, labels, manifests, scores, pictures
            number = chance.randint(3, 10 if name == "evaluate" else 20)
            process = started(recipe, cut / "run", partial(_slow_writing, marker, number) if writing else None)
            cell.starts += 1
            deadline = time.monotonic() + (120 if writing else chance.uniform(0.1, 0.9) * seconds)
            while process.is_alive() and time.monotonic() < deadline and not marker.exists():
                time.sleep(0.002)
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                cell.kills += 1
                cell.while_writing += writing
            process.join()
        to_the_end(recipe, cut / "run")
        wanted, found = products(folder / "whole/.stages"), products(cut / ".stages")
        cell.compared += len(wanted)
        cell.lost += sum(found.get(key) != value for key, value in wanted.items())
    return cell


def table(results: list[Cell]) -> str:
    """The results as Markdown."""
    lines = ["| method × verb | kills | of these while writing | products compared | lost |", "|---|---|---|---|---|"]
    total = Cell("all")
    for cell in results:
        lines.append(f"| {cell.name} | {cell.kills} | {cell.while_writing} | {cell.compared} | {cell.lost} |")
        for key in ("kills", "while_writing", "compared", "lost"):
            setattr(total, key, getattr(total, key) + getattr(cell, key))
    lines.append(f"| all | {total.kills} | {total.while_writing} | {total.compared} | {total.lost} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=at_least_one, default=4, help="per method and verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    arguments = parser.parse_args()
    if not any(arguments.only in name for name in cells()):
        raise UserError(f"no method or verb contains {arguments.only!r}; there are: {', '.join(cells())}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, text) in enumerate(cells().items()):
            if arguments.only in name:
                results.append(
                    stress(name, text, Path(folder) / str(number), kills=arguments.kills, seed=arguments.seed)
                )
                print(results[-1], file=sys.stderr, flush=True)
    print(table(results))
    if missing := set(VERBS) - {"train", *VERB_STAGES}:
        print(f"\nnot covered: {', '.join(sorted(missing))}")
    sys.exit(any(cell.lost for cell in results))


if __name__ == "__main__":
    run_script(main)
