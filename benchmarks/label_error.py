"""Wrong pseudo-labels at equal kept share, and what each round of self-training scores, small classes apart.

    python benchmarks/label_error.py runs/scenes-cbst
    python benchmarks/label_error.py runs/cbst-0 runs/cbst-1 runs/cbst-2 --round 3

Reads finished runs; those of seeds that ran apart are taken together. First table: for the label stages of one round,
the share of wrong pixels among the selected when the same share of all pixels is kept, pixels that no patch covers
counting as not kept. Second table: mIoU of every row, mean and deviation over seeds, the mean IoU of classes small in
the picture, and each of them.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acclimate.evaluation.scores import Spread, read_together, spread, summarise
from acclimate.report.tables import percent
from scripts import run_script

KEPT = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SMALL = ("pole", "traffic light", "traffic sign", "sign", "person", "pedestrian", "rider", "cyclist", "bicycle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--round", type=int, default=1, help="whose label stages are compared")
    arguments = parser.parse_args()
    table = scores(arguments.runs)
    print(errors(arguments.runs, arguments.round))
    print()
    print(table)


def errors(runs: Sequence[Path], number: int) -> str:
    """Wrong among the selected at equal kept share, by label stage, mean and deviation over seeds."""
    found: dict[str, list[list[float | None]]] = {}
    folders = [folder for run in runs for place in (run, *sorted(run.glob("seed-*"))) for folder in in_order(place)]
    for folder in folders:
        match = re.fullmatch(rf"\d+-(.+)-labels-{number}", folder.name)
        if match and (folder / "curves.json").is_file():
            found.setdefault(match[1], []).append(at_equal_share(folder))
    lines = [
        "| labels | " + " | ".join(f"{100 * share:.0f} % kept" for share in KEPT) + " |",
        "|---" * (len(KEPT) + 1) + "|",
    ]
    for name, seeds in found.items():
        cells = [shown(spread([row[index] for row in seeds]), digits=2) for index in range(len(KEPT))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def in_order(run: Path) -> list[Path]:
    """The label stages of a run, or of one seed of it, in the recipe's order."""
    return sorted(run.glob("[0-9]*-labels-*"), key=lambda folder: int(folder.name.partition("-")[0]))


def at_equal_share(folder: Path, confidence: str = "softmax") -> list[float | None]:
    """Error at each share of all pixels; None beyond what the stage could keep."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    curve = json.loads((folder / "curves.json").read_text(encoding="utf-8"))[confidence]
    predicted = sum(manifest["predicted_pixels"])
    covered = predicted / (predicted + manifest["invalid_pixels"])
    points = [(covered * point["kept"], point["error"]) for point in curve if point["error"] is not None]
    kept, error = zip(*sorted(points), strict=True)
    return [float(np.interp(share, kept, error)) if kept[0] <= share <= kept[-1] else None for share in KEPT]


def scores(runs: Sequence[Path]) -> str:
    """mIoU and small classes of every row."""
    results = read_together(runs)
    small = [name for name, value in results.rows[0].iou.items() if name in SMALL and value is not None]
    lines = ["| row | seeds | mIoU | small classes | " + " | ".join(small) + " |", "|---" * (len(small) + 4) + "|"]
    for summary in summarise(results.rows):
        means = [statistics.mean(row.iou[name] or 0.0 for name in small) for row in summary.rows] if small else []
        cells = [shown(summary.iou(name)) for name in small]
        lines.append(
            f"| {summary.name} | {len(summary.rows)} | {shown(summary.miou)} | {shown(spread(means), digits=2)} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def shown(value: Spread | None, *, digits: int = 1) -> str:
    """Mean and deviation in percent; a dash for None."""
    return percent(value, digits=digits) or "–"


if __name__ == "__main__":
    run_script(main)
