"""Measures a checkout's house: files, lines, files at the root, and the files a request for training passes.

    python benchmarks/house.py . ../before

The last column counts the package's files that are on the call stack of the first training step of a small recipe, from
the command line down to the method's losses.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from acclimate.errors import UserError
from scripts import run_script

RECIPE = """
name: house
source: "scenes:render,images=2,size=64x32"
target: "scenes:camera,images=2,size=64x32"
protocol: scenes
network: {name: small, width: 16}
training: {steps: 1, batch_size: 1, precision: 32-true}
stages: {minent: {train: minent}}
"""
PROBE = """
import sys, traceback
from acclimate.methods.minent import MinEnt
losses = MinEnt.losses
def probed(self, *arguments, **named):
    files = {frame.filename for frame in traceback.extract_stack() if "/acclimate/" in frame.filename}
    print("rooms", len(files))
    return losses(self, *arguments, **named)
MinEnt.losses = probed
sys.argv = ["acclimate", "run", sys.argv[1], "-o", sys.argv[2]]
import runpy
runpy.run_module("acclimate", run_name="__main__")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="+", type=Path, help="folders that hold src/acclimate")
    arguments = parser.parse_args()
    print("| checkout | files | lines | files at the root | files on the way to a step |\n|---|---|---|---|---|")
    for checkout in arguments.checkouts:
        package = checkout / "src" / "acclimate"
        if not package.is_dir():
            raise UserError(f"{checkout} holds no src/acclimate; give a checkout, of git worktree say")
        files = sorted(package.rglob("*.py"))
        lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        root = len(list(package.glob("*.py")))
        print(f"| {checkout} | {len(files)} | {lines:,} | {root} | {on_the_way(checkout)} |")


def on_the_way(checkout: Path) -> int:
    """Files of the package on the stack of the first training step."""
    with tempfile.TemporaryDirectory() as name:
        recipe = Path(name) / "house.yaml"
        recipe.write_text(RECIPE, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "src")}
        command = [sys.executable, "-c", PROBE, str(recipe), str(Path(name) / "run")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("rooms ")]
    if not found:
        raise UserError(f"no step was made in {checkout}: {done.stderr.strip().splitlines()[-1]}")
    return found[0]


if __name__ == "__main__":
    run_script(main)
