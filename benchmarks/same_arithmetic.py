"""Holds two checkouts against each other: every method's losses and final weights, bit by bit.

    python benchmarks/same_arithmetic.py ../before

Both run the same small recipe of every method on the built-in scenes, ten steps each with one seed in float32, in
processes of their own. A row says whether the ten rows of losses and the weights at the end are the same numbers, and
where they part first.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open

from acclimate.errors import UserError
from scripts import run_script

RECIPE = """
name: same-arithmetic
source: "scenes:render,images=12,size=128x64"
target: "scenes:camera,images=12,size=128x64"
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 10
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.02, discriminator_learning_rate: 0.001}
  source_transform: {size: [128, 64], flip: true}
  target_transform: {size: [128, 64], flip: true}
  log_every: 1
stages:
  source-only: {train: source_only}
  adabn: {train: adabn}
  oracle: {train: oracle}
  adaptsegnet: {train: adaptsegnet, options: {discriminator_width: 16}}
  multi-level: {train: adaptsegnet, options: {discriminator_width: 16}, network: {multi_level: true}}
  minent: {train: minent, options: {entropy_weight: 0.05, entropy_range: 0.3}}
  advent: {train: advent, options: {discriminator_width: 16, class_prior_weight: 1.0}}
  fine-grained: {train: fine_grained, options: {discriminator_width: 16, entropy_weight: 0.1}}
  labels: {label: advent}
  esl: {train: advent, options: {discriminator_width: 16}, pseudo_labels: labels}
  pwl: {train: pwl, pseudo_labels: labels, start: source-only}
  self-distillation: {train: self_distillation, pseudo_labels: labels}
"""
NO_TRAINING = {"labels"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of the older version: its src/acclimate is run")
    arguments = parser.parse_args()
    if not (arguments.before / "src" / "acclimate").is_dir():
        raise UserError(f"{arguments.before} holds no src/acclimate; give a checkout, of git worktree say")
    now = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        runs = {side: ran(root, place / side) for side, root in (("before", arguments.before), ("now", now))}
        print("| stage | losses of ten steps | final weights |\n|---|---|---|")
        for stage in sorted(path.name for path in runs["now"].iterdir() if path.name[0].isdigit()):
            if stage.partition("-")[2] not in NO_TRAINING:
                before, after = runs["before"] / stage, runs["now"] / stage
                print(f"| {stage.partition('-')[2]} | {losses(before, after)} | {weights(before, after)} |")


def ran(root: Path, output: Path) -> Path:
    """Runs the recipe with a checkout's own code; returns the run's folder."""
    output.mkdir(parents=True)
    recipe = output.with_suffix(".yaml")
    recipe.write_text(RECIPE, encoding="utf-8")
    command = [sys.executable, "-m", "acclimate", "run", str(recipe), "-o", str(output / "run")]
    environment = {**os.environ, "PYTHONPATH": str(root.resolve() / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"the recipe failed in {root}: {done.stderr.strip().splitlines()[-1]}")
    return output / "run"


def losses(before: Path, after: Path) -> str:
    """``same``, or the first step and loss that differ."""
    rows = []
    for folder in (before, after):
        with open(folder / "history.csv", encoding="utf-8", newline="") as stream:
            rows.append(list(csv.DictReader(stream)))
    for old, new in zip(*rows, strict=True):
        for name, value in old.items():
            if name != "images per second" and new.get(name) != value:
                return f"step {old['step']}: {name} {value} -> {new.get(name)}"
    return "same"


def weights(before: Path, after: Path) -> str:
    """``same``, or how many tensors differ and by how much at most."""
    with (
        safe_open(before / "model.safetensors", framework="pt") as old,
        safe_open(after / "model.safetensors", framework="pt") as new,
    ):
        keys = set(old.keys())
        if keys != set(new.keys()):
            return f"other tensors: {', '.join(sorted(keys ^ set(new.keys()))[:3])}"
        gaps = {key: float((old.get_tensor(key) - new.get_tensor(key)).abs().max()) for key in keys}
    different = {key: gap for key, gap in gaps.items() if gap != 0}
    return f"{len(different)} of {len(keys)} differ, by {max(different.values()):.1e}" if different else "same"


if __name__ == "__main__":
    run_script(main)
