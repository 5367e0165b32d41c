"""What the page tells of detectors beside AP: what their mistakes are, and precision over recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.evaluation.box_scores import RECALLS, ErrorCounts
from acclimate.evaluation.scores import DetectionRow, Row, Spread, spread
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
class ErrorLine:
    """One model: each kind as a share of the objects, and what it changed against source-only, seed by seed.

    Attributes:
        shares: kind -> mean and deviation over seeds of fractions.
        changes: the same minus source-only's; None for source-only and where it has no such counts.
    """

    name: str
    shares: dict[str, Spread | None]
    changes: dict[str, Spread | None]


@dataclass(frozen=True)
class BoxTables:
    """All detectors of one set.

    Attributes:
        objects: of all classes.
        together: a line per model, all classes together.
        by_class: (class, its objects, its lines).
        curves: a chart per class.
    """

    objects: int
    together: tuple[ErrorLine, ...]
    by_class: tuple[tuple[str, int, tuple[ErrorLine, ...]], ...]
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


def _lines(rows: Sequence[DetectionRow], baseline: str | None, classes: Sequence[str]) -> tuple[ErrorLine, ...]:
    models: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        models.setdefault(row.name, {})[row.seed] = _shares(
            [row.errors[name] for name in classes if name in row.errors]
        )
    base = models.get(baseline or "", {})
    lines = []
    for name, seeds in models.items():
        pairs = [(seeds[seed], base[seed]) for seed in seeds if seed in base and name != baseline]
        shares = {kind: spread([each[kind] for each in seeds.values()]) for kind in KINDS}
        changes = {kind: spread([ours[kind] - theirs[kind] for ours, theirs in pairs]) for kind in KINDS}
        lines.append(ErrorLine(name, shares, changes))
    return tuple(lines)


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
