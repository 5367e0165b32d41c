"""The table of scores near class boundaries and inside regions, one line per model, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.evaluation.boundaries import BoundaryScores
from acclimate.evaluation.scores import Row
from acclimate.report.changes import ChangeLine, change_lines

REGIONS = ("near", "inside")
MEASURES = ("accuracy", "entropy", "miou")
Place = tuple[str, str]
"""(region, measure)."""
_MEASURED = dict(zip(MEASURES, ("pixels right", "uncertainty", "mIoU"), strict=True))
COLUMNS: dict[Place, str] = {
    (region, measure): f"{region}: {words}" for region in REGIONS for measure, words in _MEASURED.items()
}
"""Of the table, with their headings."""


@dataclass(frozen=True)
class BoundaryTable:
    """All models of one set; ``share`` is the share of the labelled pixels that is near a boundary."""

    width: int
    share: float
    lines: tuple[ChangeLine[Place], ...]


def boundary_table(rows: Sequence[Row], *, baseline: str | None) -> BoundaryTable | None:
    """The table of the rows that have such scores; None where none has.

    Args:
        rows: of one set and protocol; where widths differ, those of the first row's count.
        baseline: name of the model that changes are measured against.
    """
    scored = [(row, row.boundaries) for row in rows if row.boundaries is not None]
    if not scored:
        return None
    width = scored[0][1].width
    models: dict[str, dict[int, dict[Place, float | None]]] = {}
    for row, scores in scored:
        if scores.width == width:
            values = {place: _value(scores, *place) for place in COLUMNS}
            models.setdefault(row.name, {})[row.seed] = values
    near, inside = scored[0][1].near.pixels, scored[0][1].inside.pixels
    return BoundaryTable(width, near / max(1, near + inside), change_lines(models, COLUMNS, baseline=baseline))


def _value(scores: BoundaryScores, region: str, measure: str) -> float | None:
    value: float | None = getattr(getattr(scores, region), measure)
    return value
