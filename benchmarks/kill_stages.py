"""Kills a recipe once in each of its stages and compares what it leaves with an uninterrupted run: a table.

    python benchmarks/kill_stages.py scenes-bdl

The recipe is run in small: a few small pictures, a few steps, every stage and its order as they are. A product is lost
where weights, checkpoint, history, pseudo-label, translated picture or score differs by a bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from kill_stress import FORK, products

from acclimate import pipeline
from acclimate.chain import Chain
from acclimate.recipe import load_recipe
from acclimate.scripts import run_script
from acclimate.stages import label
from acclimate.training import checkpoint

PICTURES = "images=6,size=64x32"
STEPS = {"checkpoint_minutes": 0, "log_every": 1}
SMALL = {
    "source": f"scenes:render,{PICTURES}",
    "target": f"scenes:camera,{PICTURES}",
    "network": {"name": "small", "width": 16},
    "training": {"batch_size": 2, "precision": "32-true", "source_transform": {"size": [64, 32]}, **STEPS},
    "translation": {
        "training": {"steps": 12, "batch_size": 2, "source_transform": {}, "target_transform": {}, **STEPS}
    },
}
ADVANCE = 8
"""Steps of every train stage."""


def small(recipe: str, folder: Path) -> Path:
    """The recipe with small data and few steps, as a file."""
    import yaml

    shipped = load_recipe(recipe)[0]
    stages = {}
    for name, stage in shipped.stages.items():
        fields = stage.model_dump(mode="json", exclude_unset=True)
        if "train" in fields:
            fields["training"] = {**fields.get("training", {}), "steps": ADVANCE}
        stages[name] = fields
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "extends": recipe, **SMALL, "stages": stages}, sort_keys=False))
    return path


def _begin(recipe: Path, output: Path, marks: Path) -> None:
    """One run in a process of its own that marks where each stage begins and ends."""
    os.environ["TQDM_DISABLE"] = "1"
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (for the life of this process)
    torch.set_num_threads(1)
    checkpoint.Checkpoints.clear = lambda self: None  # type: ignore[method-assign]  # the last state is compared too
    label.SECONDS_BETWEEN_SAVES = 0.0
    for verb in ("_trained", "_translated", "_labelled", "_evaluated"):
        _marked(verb, marks)
    loaded, origins = load_recipe(str(recipe))
    pipeline.run(loaded, pipeline.Run(output=output), origins=origins)
    os._exit(0)


def _marked(verb: str, marks: Path) -> None:
    method = getattr(Chain, verb)

    def marking(self: Chain, *arguments: Any, **named: Any) -> Any:
        number = len(list(marks.glob("begun-*")))
        (marks / f"begun-{number}").write_text(repr(time.time()))
        result = method(self, *arguments, **named)
        (marks / f"ended-{number}").write_text(repr(time.time()))
        return result

    setattr(Chain, verb, marking)


def _seconds(marks: Path, number: int) -> float:
    return float((marks / f"ended-{number}").read_text()) - float((marks / f"begun-{number}").read_text())


def run(recipe: Path, output: Path, marks: Path) -> Any:
    marks.mkdir(parents=True)
    process = FORK.Process(target=_begin, args=(recipe, output, marks))
    process.start()
    return process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = small(arguments.recipe, folder)
        whole = run(recipe, folder / "whole/run", folder / "marks")
        whole.join()
        if whole.exitcode != 0:
            raise SystemExit(f"{arguments.recipe}: the run that nobody killed ended with {whole.exitcode}")
        stages = len(list((folder / "marks").glob("ended-*")))
        inside = passed = 0
        for number in range(stages):
            marks = folder / f"marks-{number}"
            process = run(recipe, folder / "cut/run", marks)
            while process.is_alive() and not (marks / f"begun-{number}").exists():
                time.sleep(0.001)
            time.sleep(chance.uniform(0.05, 0.9) * _seconds(folder / "marks", number))
            ended = (marks / f"ended-{number}").exists()
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            inside, passed = inside + (not ended), passed + ended
            print(f"stage {number + 1} of {stages}: {'already over' if ended else 'killed'}", file=sys.stderr)
        run(recipe, folder / "cut/run", folder / "marks-last").join()
        wanted, found = products(folder / "whole/.stages"), products(folder / "cut/.stages")
        lost = [key for key, value in wanted.items() if found.get(key) != value]
    print("| recipe | stages and scores | killed inside | over before the kill | products compared | lost |")
    print("|---|---|---|---|---|---|")
    print(f"| {arguments.recipe} | {stages} | {inside} | {passed} | {len(wanted)} | {len(lost)} |")
    sys.exit(bool(lost))


if __name__ == "__main__":
    run_script(main)
