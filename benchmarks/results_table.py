"""Prints results.json files as Markdown: mean and deviation over seeds, per class, minutes and memory.

python benchmarks/results_table.py runs/demo-seeds/results.json
python benchmarks/results_table.py runs/scenes-detection-0 runs/scenes-detection-1 runs/scenes-detection-2

Several files or folders of runs, of seeds that ran apart, become one table. Detection has mAP and AP.
Gains are paired by seed: over source-only, or over the row that --baseline names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import unknown
from acclimate.evaluation.scores import Summary, find_role, read_together, share_of_gap_closed, summarise
from acclimate.report.tables import percent, signed_points
from scripts import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--baseline", help="the row that gains are over")
    arguments = parser.parse_args()
    results = read_together(arguments.results)
    rows = results.rows
    summaries = summarise(rows)
    base, top = find_role(summaries, "source-only"), find_role(summaries, "oracle")
    over = base if arguments.baseline is None else named(summaries, arguments.baseline)
    classes = [name for name, value in rows[0].iou.items() if value is not None]

    print(f"| model | seeds | {rows[0].metric} | gain | share of the gap | minutes | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for summary in summaries:
        gain = summary.difference(over) if over and summary is not over else None
        share = ""
        if base and top and summary not in (base, top):
            part = share_of_gap_closed(summary.miou.mean, source_only=base.miou.mean, oracle=top.miou.mean)
            share = "" if part is None else f"{100 * part:.0f} %"
        minutes = [row.train_seconds / 60 for row in summary.rows if row.train_seconds is not None]
        memory = [row.peak_memory_mb for row in summary.rows if row.peak_memory_mb is not None]
        print(
            f"| {summary.name} | {len(summary.rows)} | {percent(summary.miou)} | {signed_points(gain)} | {share} "
            f"| {sum(minutes) / max(len(minutes), 1):.1f} | {max(memory, default=0):.0f} |"
        )
    print()
    print("| class | " + " | ".join(summary.name for summary in summaries) + " |")
    print("|---" * (len(summaries) + 1) + "|")
    for name in classes:
        print(f"| {name} | " + " | ".join(percent(summary.iou(name)) for summary in summaries) + " |")
    machine = results.environment.get("accelerator") or results.environment.get("processor")
    print(f"\ncommit {results.environment.get('commit')}, {machine}")


def named(summaries: Sequence[Summary], name: str) -> Summary:
    """The row of that name."""
    for summary in summaries:
        if summary.name == name:
            return summary
    raise unknown("row", name, [summary.name for summary in summaries])


if __name__ == "__main__":
    run_script(main)
