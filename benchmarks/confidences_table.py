"""Softmax against entropy: wrong pseudo-labels at equal kept share, and what the two selections of ESL differ in.

    python benchmarks/confidences_table.py runs/scenes-esl

Reads the label stages of finished runs (several folders: seeds that ran apart), one per seed: whatever its own
confidence, a stage judges both. Void pixels count as neither right nor wrong. First table: the share of wrong pixels
among the kept ones, mean and deviation over seeds, and the difference seed by seed. Second table: the two selections at
their own thresholds, and the pixels that entropy adds and removes near class boundaries and elsewhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from acclimate.errors import UserError
from acclimate.evaluation.scores import spread
from acclimate.report.tables import percent, signed_points
from scripts import run_script

Curve: TypeAlias = list[dict[str, Any]]
KEPT = (0.2, 0.4, 0.5, 0.6, 0.8, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with label stages")
    parser.add_argument("--stage", help="name of the label stage; the first one of each seed unless given")
    arguments = parser.parse_args()
    stages = [stage for run in arguments.runs for stage in label_stages(run, arguments.stage)]
    if not stages:
        given = ", ".join(map(str, arguments.runs))
        raise UserError(f"{given}: no label stage with error curves; the target has to have labels to judge by")
    print(at_equal_share([json.loads((stage / "curves.json").read_text(encoding="utf-8")) for stage in stages]))
    print()
    print(differences([json.loads((stage / "manifest.json").read_text(encoding="utf-8")) for stage in stages]))


def label_stages(run: Path, name: str | None) -> list[Path]:
    """The label stage of every seed of a run that has error curves."""
    seeds = sorted(run.glob("seed-*")) or [run]
    found = []
    for seed in seeds:
        stages = [path.parent for path in seed.glob(f"[0-9]*-{name or '*'}/curves.json")]
        stages.sort(key=lambda stage: int(stage.name.partition("-")[0]))
        found.extend(stages[:1])
    return found


def at_equal_share(curves: Sequence[dict[str, Curve]]) -> str:
    """Wrong among the kept by confidence; ``curves`` holds one entry per seed."""
    softmax, entropy = ([errors(curve[name]) for curve in curves] for name in ("softmax", "entropy"))
    change = [[e - s for e, s in zip(*pair, strict=True)] for pair in zip(entropy, softmax, strict=True)]
    lines = ["| wrong, % | " + " | ".join(f"{100 * share:.0f} % kept" for share in KEPT) + " |"]
    lines.append("|---" * (len(KEPT) + 1) + "|")
    for name, rows in (("softmax", softmax), ("entropy", entropy), ("entropy − softmax", change)):
        shown = signed_points if rows is change else percent
        cells = [shown(spread(column), digits=2) for column in zip(*rows, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def errors(curve: Curve) -> list[float]:
    """The share of wrong pixels at each share of ``KEPT``, between the points of the curve."""
    points = sorted((point["kept"], point["error"]) for point in curve if point["error"] is not None)
    kept, wrong = np.array(points, dtype=np.float64).T
    return [float(np.interp(share, kept, wrong)) for share in KEPT]


def differences(manifests: Sequence[dict[str, Any]]) -> str:
    """The two selections at their own thresholds, and what moves between them."""
    quality = [manifest["quality"] for manifest in manifests]
    tables = [part["table"]["void ignored"] for part in quality]
    near = [part["change"]["near boundaries"] for part in quality]
    inside = [part["change"]["inside regions"] for part in quality]
    rows = {
        "kept by the selection that was written, %": [manifest["kept_overall"] for manifest in manifests],
        "wrong among the kept, softmax, %": [table["softmax overall"] for table in tables],
        "wrong among the kept, entropy, %": [table["entropy overall"] for table in tables],
        "relative change of the error by entropy, %": [table["relative change overall"] for table in tables],
        "removed near boundaries, % of the pixels there": [part["removed"] for part in near],
        "added near boundaries, % of the pixels there": [part["added"] for part in near],
        "of the added ones wrong, %": [part["added wrong"] for part in near],
        "removed inside regions, % of the pixels there": [part["removed"] for part in inside],
        "of the removed ones wrong, %": [part["removed wrong"] for part in inside],
        "added inside regions, % of the pixels there": [part["added"] for part in inside],
    }
    width = quality[0]["change"]["distance"]
    lines = [f"| over {len(manifests)} seeds; near: within {width} pixels of another class | |", "|---|---|"]
    lines += [f"| {name} | {percent(spread(values), digits=2) or '–'} |" for name, values in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
