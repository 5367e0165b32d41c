"""The table of scores near class boundaries and inside regions, one line per model, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.evaluation.boundaries import BoundaryScores
from acclimate.evaluation.scores import Row, Spread, spread

REGIONS = ("near", "inside")
MEASURES = ("accuracy", "entropy", "miou")


@dataclass(frozen=True)
class BoundaryLine:
    """One model: each measure of each region as mean and deviation over seeds, and what it changed, seed by seed.

    Attributes:
        values: (region, measure) -> fractions.
        changes: the same minus source-only's, paired by seed; None for source-only and where it has no such scores.
    """

    name: str
    values: dict[tuple[str, str], Spread | None]
    changes: dict[tuple[str, str], Spread | None]


@dataclass(frozen=True)
class BoundaryTable:
    """All models of one set; ``share`` is the share of the labelled pixels that is near a boundary."""

    width: int
    share: float
    lines: tuple[BoundaryLine, ...]


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
    by_name: dict[str, dict[int, BoundaryScores]] = {}
    for row, scores in scored:
        if scores.width == width:
            by_name.setdefault(row.name, {})[row.seed] = scores
    base = by_name.get(baseline or "", {})
    near, inside = scored[0][1].near.pixels, scored[0][1].inside.pixels
    lines = tuple(_line(name, seeds, {} if name == baseline else base) for name, seeds in by_name.items())
    return BoundaryTable(width, near / max(1, near + inside), lines)


def _line(name: str, seeds: dict[int, BoundaryScores], base: dict[int, BoundaryScores]) -> BoundaryLine:
    values: dict[tuple[str, str], Spread | None] = {}
    changes: dict[tuple[str, str], Spread | None] = {}
    for region in REGIONS:
        for measure in MEASURES:
            key = (region, measure)
            values[key] = spread([_value(scores, *key) for scores in seeds.values()])
            pairs = [(_value(seeds[seed], *key), _value(base[seed], *key)) for seed in seeds if seed in base]
            changes[key] = spread([ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None])
    return BoundaryLine(name, values, changes)


def _value(scores: BoundaryScores, region: str, measure: str) -> float | None:
    value: float | None = getattr(getattr(scores, region), measure)
    return value
