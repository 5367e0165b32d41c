"""Prints a suite as Markdown: every system with its score, gains, cost and pseudo-labels, and the hours of the whole.

    python benchmarks/suite_table.py runs/scenes/results.json

Reads results.json of a suite (`acclimate bench`). Gains are paired by seed: over the source-only of the row's own
recipe and over the AdaBN control. Where the suite varies settings, a second table has the mIoU of every value.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from acclimate.errors import UserError
from acclimate.evaluation.scores import Spread
from acclimate.io.files import read_json
from acclimate.report.tables import number, percent, signed_points
from scripts import made_by, run_script

HEADINGS = (
    "model",
    "seeds",
    "mIoU",
    "gain",
    "over AdaBN",
    "of the gap",
    "minutes",
    "× time",
    "peak MB",
    "kept",
    "wrong",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="of a suite")
    arguments = parser.parse_args()
    path = arguments.results / "results.json" if arguments.results.is_dir() else arguments.results
    suite = read_json(path)
    if "models" not in suite:
        raise UserError(f"{path} is not the results of a suite; `acclimate bench` writes one")
    print(f"| {' | '.join(HEADINGS)} |")
    print("|---" * len(HEADINGS) + "|")
    for model in suite["models"]:
        print(f"| {' | '.join(cells(model))} |")
    if suite["settings"]:
        print(f"\n{settings_table(suite['settings'])}")
    print(f"\n{suite['hours']:.1f} hours of training, labelling and translating, shared stages counted once")
    for title in ("missing", "failed"):
        if suite[title]:
            print(f"\n{title}: {'; '.join(suite[title])}")
    print(f"\n{made_by(suite['environment'])}")


def settings_table(settings: list[dict[str, Any]]) -> str:
    """One line per key and row, with the mIoU of every value."""
    found: dict[tuple[str, str], list[str]] = {}
    for setting in settings:
        value = f"{setting['value']}: {percent(Spread(**setting['miou']))}"
        found.setdefault((setting["key"], setting["row"]), []).append(value)
    lines = [f"| {key} | {row} | {' · '.join(values)} |" for (key, row), values in found.items()]
    return "\n".join(["| varied | row | value: mIoU |", "|---|---|---|", *lines])


def cells(model: dict[str, Any]) -> list[str]:
    """One line of the table."""
    value = {key: Spread(**content) for key, content in model.items() if isinstance(content, dict)}
    gap, times = model["gap_closed"], model["relative_time"]
    between = model["role"] not in ("source-only", "oracle")
    return [
        model["name"],
        str(len(model["seeds"])),
        percent(value.get("miou")),
        signed_points(value.get("gain")),
        signed_points(value.get("over_control")),
        f"{100 * gap:.0f} %" if gap is not None and between else "",
        number(value.get("train_seconds"), scale=1 / 60),
        "" if times is None else f"{times:.1f}",
        number(value.get("peak_memory_mb")),
        percent(value.get("kept")),
        percent(value.get("wrong")),
    ]


if __name__ == "__main__":
    run_script(main)
