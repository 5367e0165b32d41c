"""What choosing a system without labels was worth: the row that each score would have taken, seed by seed.

    python benchmarks/system_choice.py docs/results/scenes-neighbours.json docs/results/carla-camvid-neighbours.json

One line for each results.json, means over its seeds: for each score the mIoU of the row that has the best one and, in
brackets, Spearman's rank correlation of score and mIoU; then the mIoU of ``--instead``, the row that somebody without
labels would take anyway, and of the row that is best by labels. The oracle does not compete.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import UserError
from acclimate.evaluation.label_free import HIGHER_IS_BETTER, rank_correlation
from acclimate.evaluation.scores import Row, read_results, spread
from acclimate.report.tables import mean_and_deviation, percent
from scripts import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--instead", default="dacs", help="a row to compare with")
    arguments = parser.parse_args()
    headings = ["results", "rows, seeds", *HIGHER_IS_BETTER, arguments.instead, "best by labels"]
    print(f"| {' | '.join(headings)} |")
    print("|---" * len(headings) + "|")
    for path in arguments.results:
        seeds = competing(path)
        cells = [path.parent.name if path.stem == "results" else path.stem]
        cells.append(f"{statistics.fmean(map(len, seeds)):.0f}, {len(seeds)}")
        for score in HIGHER_IS_BETTER:
            taken = spread([chosen(rows, score).miou for rows in seeds])
            correlation = spread([correlated(rows, score) for rows in seeds])
            cells.append(f"{percent(taken)} ({mean_and_deviation(correlation, digits=2, sign='+')})")
        cells.append(percent(spread([row.miou for rows in seeds for row in rows if row.name == arguments.instead])))
        cells.append(percent(spread([max(row.miou for row in rows) for rows in seeds])))
        print(f"| {' | '.join(cells)} |")


def competing(path: Path) -> list[list[Row]]:
    """The rows of each seed that have scores, without the oracle.

    Raises:
        UserError: no seed has three such rows.
    """
    seeds: dict[int, list[Row]] = defaultdict(list)
    for row in read_results(path).rows:
        if set(row.label_free) >= set(HIGHER_IS_BETTER) and row.method != "oracle":
            seeds[row.seed].append(row)
    found = [rows for rows in seeds.values() if len(rows) > 2]
    if not found:
        raise UserError(f"{path}: no seed has three rows with scores that need no labels, so nothing can be chosen")
    return found


def oriented(row: Row, score: str) -> float:
    """A score, its sign turned where lower is better."""
    return row.label_free[score] if HIGHER_IS_BETTER[score] else -row.label_free[score]


def chosen(rows: Sequence[Row], score: str) -> Row:
    """The row that a score would take."""
    return max(rows, key=lambda row: oriented(row, score))


def correlated(rows: Sequence[Row], score: str) -> float | None:
    """Spearman's rank correlation of a score and mIoU over the rows of a seed."""
    return rank_correlation([oriented(row, score) for row in rows], [row.miou for row in rows])


if __name__ == "__main__":
    run_script(main)
