"""Prints how a loss fell during the trainings of a run, mean over seeds.

    python benchmarks/losses_table.py runs/scenes-repeats --only source-only source-only-repeats

Reads every training's history.csv, which keeps a mean now and then. *end* is the mean after ``--after`` steps.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections import defaultdict
from pathlib import Path

from acclimate.errors import UserError, unknown
from scripts import run_script

Curve = dict[int, list[float]]
"""Step -> the loss of each seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--loss", default="segmentation", help="a column of history.csv")
    parser.add_argument("--until", type=int, default=200, help="the last step that has a column")
    parser.add_argument("--after", type=int, default=900, help="the step after which the mean is the end")
    parser.add_argument("--only", nargs="+", help="the rows, all trainings that have the loss unless given")
    arguments = parser.parse_args()
    curves = curves_of(arguments.run, arguments.loss)
    for name in arguments.only or ():
        if name not in curves:
            raise unknown("training with this loss", name, list(curves))
    chosen = {name: curves[name] for name in arguments.only or curves}
    steps = sorted({step for curve in chosen.values() for step in curve if step <= arguments.until})
    print("| step | " + " | ".join(map(str, steps)) + " | end |")
    print("|---" * (len(steps) + 2) + "|")
    for name, curve in chosen.items():
        early = [f"{statistics.fmean(curve[step]):.2f}" if step in curve else "" for step in steps]
        late = [statistics.fmean(values) for step, values in curve.items() if step > arguments.after]
        print(f"| {name} | " + " | ".join(early) + f" | {f'{statistics.fmean(late):.2f}' if late else ''} |")


def curves_of(run: Path, loss: str) -> dict[str, Curve]:
    """The loss of every training that has it, in the order of the stages.

    Raises:
        UserError: the folder has none.
    """
    found: dict[str, Curve] = {}
    files = [*run.glob("[0-9]*-*/history.csv"), *run.glob("seed-*/[0-9]*-*/history.csv")]
    for path in sorted(files, key=lambda path: (path.parent.parent.name, int(path.parent.name.partition("-")[0]))):
        curve = found.setdefault(path.parent.name.partition("-")[2], defaultdict(list))
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                if line.get(loss):
                    curve[int(line["step"])].append(float(line[loss]))
    found = {name: curve for name, curve in found.items() if curve}
    if not found:
        raise UserError(f"{run} holds no training with a loss {loss!r}: no stage's history.csv has such a column")
    return found


if __name__ == "__main__":
    run_script(main)
