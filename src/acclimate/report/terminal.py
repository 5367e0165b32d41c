"""The comparison of models on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from acclimate.evaluation.scores import Row
from acclimate.io.terminal import SafeConsole
from acclimate.report.published import Published
from acclimate.report.tables import Comparison, Line, comparisons, number, percent, signed_points, subset_title

_WIDTH = 100
"""Characters that a table of classes should fit in; it continues in another table where there are more models."""


def terminal_tables(comparison: Comparison) -> list[Table]:
    """The comparison for a terminal: one table of models, then tables of classes by model."""
    headings = [
        comparison.metric,
        *map(subset_title, comparison.subsets),
        "gain",
        "gap to oracle",
        "minutes",
        "images/s",
        "peak MB",
    ]
    rows = [
        [
            percent(line.miou),
            *(percent(line.subsets.get(name)) for name in comparison.subsets),
            signed_points(line.gain),
            signed_points(line.gap),
            number(line.train_seconds, scale=1 / 60),
            number(line.images_per_second),
            number(line.peak_memory_mb),
        ]
        for line in comparison.lines
    ]
    overview = table("model", [_name(line) for line in comparison.lines], [Text(text) for text in headings], rows)
    for row, line in zip(overview.rows, comparison.lines, strict=True):
        row.style = None if line.kind == "ours" else "dim"
    overview.caption, overview.caption_justify = Text(comparison.caption()), "left"
    tables = [overview]
    shown = [line for line in comparison.lines if line.kind != "not run"]
    cell = max((len(percent(line.iou.get(name))) for line in shown for name in comparison.classes), default=0)
    at_once = max(1, (_WIDTH - 18) // (max(cell, 10) + 3))
    for start in range(0, len(shown), at_once):
        part = shown[start : start + at_once]
        cells = [[percent(line.iou.get(name)) or "-" for line in part] for name in comparison.classes]
        tables.append(
            table(
                comparison.class_metric,
                [Text(name) for name in comparison.classes],
                [_name(line) for line in part],
                cells,
            )
        )
    return tables


def table(corner: str, names: Sequence[Text], headings: Sequence[Text], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose headings wrap before a number would: a cut-off number is a wrong number."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(corner, overflow="fold", min_width=min(12, max((name.cell_len for name in names), default=0)))
    for position, heading in enumerate(headings):
        widest = max((len(row[position]) for row in rows), default=0)
        table.add_column(heading, justify="right", overflow="fold", min_width=widest)
    for name, row in zip(names, rows, strict=True):
        table.add_row(name, *row)
    return table


def _name(line: Line) -> Text:
    # Text, not markup: a name with brackets must not be read as a style
    if line.kind == "published":
        return Text(f"  published: {line.source or line.name}")
    if line.kind == "cited":
        return Text(f"{line.name} ({line.source.partition(';')[0]})")
    return Text(f"{line.name} (not run)" if line.kind == "not run" else line.name)


def print_results(rows: Sequence[Row], published: Sequence[Published] = ()) -> None:
    """Prints the comparison of ``rows`` to stdout, one group of tables per evaluated set and protocol."""
    print_comparisons(comparisons(rows, published))


def print_comparisons(compared: Sequence[Comparison]) -> None:
    """Prints comparisons to stdout, one group of tables each."""
    console = SafeConsole(width=None if sys.stdout.isatty() else 160, highlight=False)
    for comparison in compared:
        for made in terminal_tables(comparison):
            console.print(made)
