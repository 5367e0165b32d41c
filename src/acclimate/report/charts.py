"""Curves as plain SVG geometry: the template only has to write it down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.report.reading import History
from acclimate.report.words import healthy

WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 26
_POINTS = 100
"""Points of a curve; each is the mean over as many steps as it takes."""


@dataclass(frozen=True)
class Curve:
    """One model's curve: the values of an SVG path's ``d``, and what it ends at."""

    model: str
    colour: str
    path: str
    last: float


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in SVG units."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One quantity, all models in it.

    Attributes:
        across: what it is drawn over, in words.
        unit: follows the last number along the bottom.
    """

    title: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    healthy: str = ""
    across: str = "training steps"
    unit: str = " steps"
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def charts(histories: Sequence[tuple[str, str, History]]) -> list[Chart]:
    """One chart per column of the histories, in order of first appearance, with a curve for each history that has it.

    Args:
        histories: model name, colour and history; a model may appear several times, once per seed.
    """
    titles = dict.fromkeys(column for _, _, history in histories for column in history.columns)
    drawn = (_chart(title, histories) for title in titles)
    return [chart for chart in drawn if chart is not None]


def _chart(title: str, histories: Sequence[tuple[str, str, History]]) -> Chart | None:
    averaged = [
        (model, colour, points)
        for model, colour, history in histories
        if title in history.columns and (points := averages(history.steps, history.columns[title]))
    ]
    if not averaged:
        return None
    low, high = _range([value for _, _, points in averaged for _, value in points])
    last_step = max(points[-1][0] for _, _, points in averaged)
    return curve_chart(title, averaged, x=(0.0, last_step), y=(low, high), healthy=healthy(title))


def curve_chart(
    title: str,
    curves: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    healthy: str = "",
    across: str = "training steps",
    unit: str = " steps",
) -> Chart:
    """A chart of (model, colour, points) whose axes reach from end to end.

    Args:
        title: above it.
        curves: points are (x, y), at least one each.
        x, y: lowest and highest value of the axes.
        healthy: how it should look, a sentence below.
        across: what it is drawn over, in words.
        unit: follows the last number along the bottom.
    """

    def across_at(value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - x[0]) / max(x[1] - x[0], 1)

    def up_at(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - y[0]) / (y[1] - y[0])

    drawn = [
        Curve(model, colour, "M" + "L".join(f"{across_at(a):.1f} {up_at(b):.1f}" for a, b in points), points[-1][1])
        for model, colour, points in curves
    ]
    return Chart(
        title=title,
        curves=drawn,
        x_ticks=[Tick(across_at(value), f"{value:,.0f}") for value in ticks(*x, at_most=4)],
        y_ticks=[Tick(up_at(value), f"{value:.4g}") for value in ticks(*y, at_most=4)],
        healthy=healthy,
        across=across,
        unit=unit,
    )


def averages(steps: Sequence[int], values: Sequence[float | None]) -> list[tuple[float, float]]:
    """At most 100 (step, value) points, each the mean of a run of neighbouring rows; empty cells are left out."""
    known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    size = max(1, math.ceil(len(known) / _POINTS))
    groups = [known[start : start + size] for start in range(0, len(known), size)]
    return [(sum(s for s, _ in group) / len(group), sum(v for _, v in group) / len(group)) for group in groups]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The axis' ends: the first moments of a training may leave the picture so that the rest can be read."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[math.ceil(0.98 * (len(ordered) - 1))]
    if 0 < low < 0.4 * high:
        low = 0.0
    if high <= low:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low - (0.04 * (high - low) if low else 0.0), high + 0.04 * (high - low)


def ticks(low: float, high: float, *, at_most: int) -> list[float]:
    """Round numbers between ``low`` and ``high``, steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / at_most
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(first + k) * step for k in range(count)]
