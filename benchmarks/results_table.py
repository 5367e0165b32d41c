"""Prints results.json files as Markdown: mean and deviation over seeds, per class, minutes and memory.

python benchmarks/results_table.py runs/demo-seeds/results.json
python benchmarks/results_table.py runs/scenes-detection-0 runs/scenes-detection-1 runs/scenes-detection-2

python benchmarks/results_table.py runs/now/results.json --against runs/before/results.json
python benchmarks/results_table.py runs/seed-0 runs/seed-1 -o docs/results/all.json

Several files or folders of runs, of seeds that ran apart, become one table. Detection has mAP and AP.
Gains over source-only are paired by seed; --baseline names another row, over which gain and share of the gap are told
too. With --against, the rows of other results stand beside those of the same name, the difference paired by seed.
With -o, the rows of all files are also written as one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import unknown
from acclimate.evaluation.scores import Summary, find_role, read_together, summarise, write_results
from acclimate.report.tables import percent, signed_points
from scripts import made_by, run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--baseline", help="another row that gains are told over")
    parser.add_argument("--against", type=Path, nargs="+", help="other results, to which these are compared row by row")
    parser.add_argument("-o", "--output", type=Path, help="a results.json for the rows of all files")
    arguments = parser.parse_args()
    results = read_together(arguments.results)
    if arguments.output is not None:
        write_results(
            arguments.output,
            results.rows,
            environment=results.environment,
            other_environments=results.other_environments,
        )
    rows = results.rows
    summaries = summarise(rows)
    base, top = find_role(summaries, "source-only"), find_role(summaries, "oracle")
    other = None if arguments.baseline is None else named(summaries, arguments.baseline)
    classes = [name for name, value in rows[0].iou.items() if value is not None]

    if arguments.against is not None:
        compare(summaries, summarise(read_together(arguments.against).rows))
        return
    beside = "" if other is None else f" over {other.name} | from {other.name} |"
    print(f"| model | seeds | {rows[0].metric} | gain | share of the gap |{beside} minutes | peak MB |")
    print("|---|---|---|---|---|---|---|" + "---|---|" * bool(beside))
    for summary in summaries:
        worth = f"{gain_over(base, summary)} | {share_from(base, summary, top)}"
        if other is not None:
            worth += f" | {gain_over(other, summary)} | {share_from(other, summary, top)}"
        minutes = [row.train_seconds / 60 for row in summary.rows if row.train_seconds is not None]
        memory = [row.peak_memory_mb for row in summary.rows if row.peak_memory_mb is not None]
        print(
            f"| {summary.name} | {len(summary.rows)} | {percent(summary.miou)} | {worth} "
            f"| {sum(minutes) / max(len(minutes), 1):.1f} | {max(memory, default=0):.0f} |"
        )
    print()
    print("| class | " + " | ".join(summary.name for summary in summaries) + " |")
    print("|---" * (len(summaries) + 1) + "|")
    for name in classes:
        print(f"| {name} | " + " | ".join(percent(summary.iou(name)) for summary in summaries) + " |")
    print()
    print("\n".join(dict.fromkeys(map(made_by, (results.environment, *results.other_environments)))))


def gain_over(base: Summary | None, summary: Summary) -> str:
    """What a row gained over another, in points; nothing over itself."""
    return "" if base is None or summary is base else signed_points(summary.difference(base))


def share_from(base: Summary | None, summary: Summary, top: Summary | None) -> str:
    """The part of the way from ``base`` to ``top`` that a row has gone, in percent; nothing for these two."""
    if base is None or top is None or summary in (base, top):
        return ""
    part = summary.gap_closed(base, top)
    return "" if part is None else f"{round(100 * part)} %"


def compare(ours: Sequence[Summary], theirs: Sequence[Summary]) -> None:
    """Prints rows that both have side by side."""
    print("| model | against | these | difference |\n|---|---|---|---|")
    for one in ours:
        for other in theirs:
            if other.name == one.name:
                difference = signed_points(one.difference(other))
                print(f"| {one.name} | {percent(other.miou)} | {percent(one.miou)} | {difference} |")


def named(summaries: Sequence[Summary], name: str) -> Summary:
    """The row of that name."""
    for summary in summaries:
        if summary.name == name:
            return summary
    raise unknown("row", name, [summary.name for summary in summaries])


if __name__ == "__main__":
    run_script(main)
