"""A suite on a terminal: models, classes, scores without labels, settings, claims, and what is missing."""

from __future__ import annotations

import sys

from rich.table import Table
from rich.text import Text

from acclimate.bench.page import SuiteTable, SuiteView
from acclimate.io.terminal import SafeConsole
from acclimate.report.tables import number, percent, signed_points
from acclimate.report.terminal import table, terminal_tables


def print_suite(view: SuiteView) -> None:
    """Prints the suite to stdout: models, classes, scores without labels, settings, claims, and what is missing."""
    console = SafeConsole(width=None if sys.stdout.isatty() else 180, highlight=False)
    for part in view.tables:
        console.print(overview(part))
        for classes in terminal_tables(part.comparison)[1:]:
            console.print(classes)
        if any(correlation.rows for correlation in part.correlations):
            console.print(correlation_table(part))
    if view.settings:
        console.print(settings_table(view))
    if view.tables and any(verdict.decision != "not measured" for verdict in view.verdicts):
        console.print(claims_table(view))
    console.print(Text(f"{view.hours:.1f} hours of training, labelling and translating, shared stages counted once"))
    for title, lines in (("missing", view.missing), ("failed", view.failed)):
        if lines:
            console.print(Text(f"{title} ({len(lines)} of {view.jobs}): " + "; ".join(lines)))


def overview(part: SuiteTable) -> Table:
    """One line per model: score, gains, cost and pseudo-labels."""
    headings = ["seeds", part.comparison.metric, "gain", "over AdaBN", "of the gap", "minutes", "× time", "peak MB"]
    rows = [
        [
            str(len(line.line.seeds)),
            percent(line.line.miou),
            signed_points(line.line.gain),
            signed_points(line.over_control),
            share(line.gap_closed),
            number(line.line.train_seconds, scale=1 / 60),
            "" if line.relative_time is None else f"{line.relative_time:.1f}",
            number(line.line.peak_memory_mb),
            percent(line.kept),
            percent(line.wrong),
        ]
        for line in part.lines
    ]
    made = table(
        "model",
        [Text(line.line.name) for line in part.lines],
        [Text(heading) for heading in [*headings, "kept %", "wrong %"]],
        rows,
    )
    made.caption, made.caption_justify = Text(part.comparison.caption()), "left"
    return made


def correlation_table(part: SuiteTable) -> Table:
    """Rank correlation of each score without labels with the true mIoU."""
    cells = [[shown(c.value), shown(c.without_ends), str(c.rows)] for c in part.correlations]
    headings = [Text("rank correlation with mIoU"), Text("without source-only and oracle"), Text("rows")]
    return table("score without labels", [Text(c.score) for c in part.correlations], headings, cells)


def claims_table(view: SuiteView) -> Table:
    """One line per claim and pair of rows."""
    cells = [
        [
            f"{verdict.better} − {verdict.worse}" if verdict.better else "",
            verdict.where,
            signed_points(verdict.difference),
            "" if verdict.difference is None else str(verdict.difference.count),
            verdict.decision,
        ]
        for verdict in view.verdicts
    ]
    headings = [Text(text) for text in ("rows", "recipe", "points", "seeds", "verdict")]
    return table("claim", [Text(verdict.claim.text) for verdict in view.verdicts], headings, cells)


def settings_table(view: SuiteView) -> Table:
    """One line per varied setting and row."""
    cells = [[setting.value, setting.row, percent(setting.miou), str(setting.seeds)] for setting in view.settings]
    headings = [Text(text) for text in ("value", "row", "mIoU", "seeds")]
    return table("setting", [Text(setting.key) for setting in view.settings], headings, cells)


def share(value: float | None) -> str:
    """``28 %`` for a fraction; empty for None."""
    return "" if value is None else f"{100 * value:.0f} %"


def shown(value: float | None) -> str:
    """A correlation with its sign."""
    return "–" if value is None else f"{value:+.2f}"
