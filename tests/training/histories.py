"""What a history.csv holds, for the tests."""

from __future__ import annotations

import csv
from pathlib import Path


def rows_of(path: Path) -> list[dict[str, float]]:
    """The rows of a ``history.csv``, without empty cells."""
    with open(path, newline="", encoding="utf-8") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
