"""What the page tells of detectors beside AP: what their mistakes are, and precision over recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.evaluation.box_scores import RECALLS, ErrorCounts
from acclimate.evaluation.scores import DetectionRow, Row
from acclimate.report.changes import ChangeLine, change_lines
from acclimate.report.charts import Chart, curve_chart

KINDS = {
    "right": "right",
    "missed": "missed",
    "localisation": "badly boxed",
    "wrong_class": "wrong class",
    "duplicate": "duplicate",
    "background": "nothing there",
}
"""Field of ErrorCounts -> its heading."""


@dataclass(frozen=True)
class BoxTables:
    """All detectors of one set.

    Attributes:
        objects: of all classes.
        together: a line per model, all classes together; values are shares of the objects, by kind.
        by_class: (class, its objects, its lines).
        curves: a chart per class.
    """

    objects: int
    together: tuple[ChangeLine[str], ...]
    by_class: tuple[tuple[str, int, tuple[ChangeLine[str], ...]], ...]
    curves: tuple[Chart, ...]


def box_tables(rows: Sequence[Row], *, baseline: str | None, colours: Mapping[str, str]) -> BoxTables | None:
    """Tables and charts of the rows that have such counts; None where none has.

    Args:
        rows: of one set and protocol.
        baseline: name of the model that changes are measured against.
        colours: model -> that of its curve.
    """
    scored = [row for row in rows if isinstance(row, DetectionRow) and row.errors]
    if not scored:
        return None
    first = scored[0].errors
    classes = [name for name, counts in first.items() if counts.objects]
    return BoxTables(
        objects=sum(counts.objects for counts in first.values()),
        together=_lines(scored, baseline, classes),
        by_class=tuple((name, first[name].objects, _lines(scored, baseline, [name])) for name in classes),
        curves=tuple(_curves(name, scored, colours) for name in classes),
    )


def _lines(rows: Sequence[DetectionRow], baseline: str | None, classes: Sequence[str]) -> tuple[ChangeLine[str], ...]:
    models: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        counts = [row.errors[name] for name in classes if name in row.errors]
        models.setdefault(row.name, {})[row.seed] = _shares(counts)
    return change_lines(models, KINDS, baseline=baseline)


def _shares(counts: Sequence[ErrorCounts]) -> dict[str, float]:
    objects = sum(each.objects for each in counts)
    return {kind: sum(getattr(each, kind) for each in counts) / max(1, objects) for kind in KINDS}


def _curves(name: str, rows: Sequence[DetectionRow], colours: Mapping[str, str]) -> Chart:
    """Precision over recall of one class, the mean over a model's seeds; from where it is 0 there is no curve."""
    models: dict[str, list[list[float]]] = {}
    for row in rows:
        if len(curve := row.curves.get(name, [])) == len(RECALLS):
            models.setdefault(row.name, []).append(curve)
    curves = []
    for model, seeds in models.items():
        means = [sum(values) / len(values) for values in zip(*seeds, strict=True)]
        points = [(100 * recall, 100 * mean) for recall, mean in zip(RECALLS, means, strict=True) if mean > 0]
        curves.append((model, colours.get(model, "#8b919a"), points or [(0.0, 0.0)]))
    return curve_chart(name, curves, x=(0.0, 100.0), y=(0.0, 100.0), across="recall", unit=" % found")
