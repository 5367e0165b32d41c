"""The report's errors by kind and curves of precision over recall."""

from __future__ import annotations

import pytest

from acclimate.evaluation.box_scores import RECALLS, ErrorCounts
from acclimate.evaluation.scores import DetectionRow
from acclimate.report.boxes import box_tables


def row(name: str, seed: int, right: int, *, reach: float = 1.0) -> DetectionRow:
    """Of ten cars and no bus; the precision is 0.5 up to the recall ``reach``."""
    errors = {
        "car": ErrorCounts(objects=10, right=right, duplicate=9 - right, background=1, missed=8 - right),
        "person": ErrorCounts(objects=30, right=0, missed=30),
        "bus": ErrorCounts(),
    }
    curve = [0.5 if recall <= reach else 0.0 for recall in RECALLS]
    return DetectionRow(
        name=name, stage="", method=name, seed=seed, data="scenes", split="val", images=1, protocol="voc07", map=0.5,
        classes_averaged=2, ap={"car": 0.5, "person": 0.0, "bus": None}, errors=errors,
        curves={"car": curve, "person": [0.0] * len(RECALLS)},
    )  # fmt: skip


def test_shares_of_the_objects_and_changes_by_seed() -> None:
    rows = [row("source-only", 0, 2), row("source-only", 1, 4), row("x", 0, 6), row("x", 1, 6)]
    tables = box_tables(rows, baseline="source-only", colours={})
    assert tables is not None
    assert tables.objects == 40
    assert [(name, objects) for name, objects, _ in tables.by_class] == [("car", 10), ("person", 30)]
    base, ours = tables.by_class[0][2]
    assert base.values["right"].mean == pytest.approx(0.3)  # type: ignore[union-attr]
    assert base.changes["right"] is None
    assert ours.changes["right"].mean == pytest.approx(0.3)  # type: ignore[union-attr]
    assert ours.changes["right"].deviation == pytest.approx(0.1414, abs=1e-4)  # type: ignore[union-attr] # 0.4 and 0.2
    assert ours.changes["duplicate"].mean == pytest.approx(-0.3)  # type: ignore[union-attr]
    assert tables.together[1].values["missed"].mean == pytest.approx(32 / 40)  # type: ignore[union-attr]


def test_curves_are_means_over_seeds_and_end_where_nothing_more_is_found() -> None:
    tables = box_tables([row("x", 0, 1, reach=0.5), row("x", 1, 1)], baseline=None, colours={"x": "#123456"})
    assert tables is not None
    car, person = tables.curves
    (curve,) = car.curves
    assert (car.title, curve.colour, curve.last) == ("car", "#123456", 25.0)
    points = [tuple(map(float, each.split())) for each in curve.path[1:].split("L")]
    assert len(points) == len(RECALLS)
    assert points[0] == (car.left, pytest.approx((car.top + car.bottom) / 2, abs=0.1))  # 50 % is half way up
    assert points[-1] == (car.right, pytest.approx(car.bottom - (car.bottom - car.top) / 4, abs=0.1))
    assert person.curves[0].last == 0.0  # nothing is found: the curve is a point


def test_rows_of_an_older_version_have_no_such_tables() -> None:
    old = row("x", 0, 1).model_copy(update={"errors": {}, "curves": {}})
    assert box_tables([old], baseline=None, colours={}) is None
