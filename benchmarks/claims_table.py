"""Prints what a suite says of the papers' claims, and of the scores without labels, as Markdown.

    python benchmarks/claims_table.py runs/scenes/results.json runs/carla-camvid-all/results.json

Reads results.json of suites (`acclimate bench`), one block of rows each. Claims that no row of a suite can judge are
left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from acclimate.errors import UserError
from acclimate.evaluation.scores import Spread
from acclimate.io.files import read_json
from acclimate.report.tables import signed_points
from scripts import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="of suites")
    arguments = parser.parse_args()
    suites = [measured(path) for path in arguments.results]
    print("| suite | claim | of | rows | recipe | points | seeds | verdict |\n|---|---|---|---|---|---|---|---|")
    for suite in suites:
        for claim in suite["claims"]:
            if claim["difference"] is not None:
                difference = Spread(**claim["difference"])
                print(
                    f"| {suite['suite']} | {claim['claim']} | {claim['source']} | {claim['better']} − {claim['worse']} "
                    f"| {claim['where']} | {signed_points(difference)} | {difference.count} | {claim['decision']} |"
                )
    print("\n| suite | score without labels | rank correlation with mIoU | without source-only and oracle | rows |")
    print("|---|---|---|---|---|")
    for suite in suites:
        for score in suite["rank_correlation"]:
            values = " | ".join(
                "–" if score[key] is None else f"{score[key]:+.2f}" for key in ("value", "without_ends")
            )
            print(f"| {suite['suite']} | {score['score']} | {values} | {score['rows']} |")


def measured(path: Path) -> dict[str, Any]:
    """A suite's results."""
    content: dict[str, Any] = read_json(path / "results.json" if path.is_dir() else path)
    if "claims" not in content:
        raise UserError(f"{path} is not the results of a suite; `acclimate bench` writes one")
    return content


if __name__ == "__main__":
    run_script(main)
