"""Prints scores near class boundaries and inside regions as Markdown, over seeds, with the change against a baseline.

python benchmarks/boundaries_table.py runs/scenes-fine-grained/results.json
python benchmarks/boundaries_table.py runs/fine-grained-0 runs/fine-grained-1 --baseline fine-grained

Several files or folders of runs, of seeds that ran apart, become one table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from acclimate.errors import UserError
from acclimate.evaluation.scores import Spread, read_together, spread
from acclimate.report.boundaries import MEASURES, REGIONS, boundary_table
from acclimate.report.tables import percent, signed_points
from scripts import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--baseline", default="source-only", help="the row that changes are measured against")
    arguments = parser.parse_args()
    results = read_together(arguments.results)
    table = boundary_table(results.rows, baseline=arguments.baseline)
    if table is None:
        given = ", ".join(map(str, arguments.results))
        raise UserError(f"{given}: no such scores; set boundary_width in the recipe's evaluate stage")
    print(f"near: at most {table.width} pixels from another class, {100 * table.share:.0f} % of the labelled pixels\n")
    columns = [f"{region}: {measure.replace('miou', 'mIoU')}" for region in REGIONS for measure in MEASURES]
    print("| model | seeds | mIoU | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 3) + "|")
    for line in table.lines:
        rows = [row for row in results.rows if row.name == line.name]
        miou = percent(spread([row.miou for row in rows]))
        cells = [shown(line.values[key], line.changes[key]) for key in line.values]
        print(f"| {line.name} | {len(rows)} | {miou} | " + " | ".join(cells) + " |")


def shown(value: Spread | None, change: Spread | None) -> str:
    """``mean ± deviation (change)`` in percent and points."""
    return percent(value) + ("" if change is None else f" ({signed_points(change)})")


if __name__ == "__main__":
    run_script(main)
