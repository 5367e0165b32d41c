"""Draws what systems gained over source-only against what they cost, or against how many labelled frames they had.

    python benchmarks/gain_picture.py docs/results/carla-camvid-modern.json docs/results/carla-iddlite.json -o gains.svg
    python benchmarks/gain_picture.py runs/few-labels/results.json --against labels -o labels.svg

One panel for each results.json: gain over source-only, paired by seed, mean and deviation. Minutes are those of all
trainings that a row is made from; the line is the front: no other row gains as much in less time. With
``--against labels`` a row's place is the number of labelled frames of the target that its name tells, ``five-labels``
or ``20-labels-mic``, 0 where it tells none; the dashed line is the oracle.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from acclimate.errors import UserError
from acclimate.evaluation.scores import Spread, Summary, find_role, read_results, summarise
from scripts import run_script

DIRECTIONS = ((1, 0), (0.7, 0.7), (0.7, -0.7), (0, 1), (0, -1), (-1, 0), (-0.7, 0.7), (-0.7, -0.7))
"""Where a name may stand from its point, as right and up, the first choice first."""

NUMBERS = {"one": 1, "two": 2, "five": 5, "ten": 10, "twenty": 20, "fifty": 50, "hundred": 100}


@dataclass(frozen=True)
class Point:
    """A system: minutes or labelled frames, and gain over source-only in points."""

    name: str
    cost: float
    gain: Spread

    @property
    def place(self) -> tuple[float, float]:
        """Where it is drawn: what it cost, and its gain in points."""
        return self.cost, 100 * self.gain.mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--against", choices=("minutes", "labels"), default="minutes")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    panels = [
        (path.parent.name if path.stem == "results" else path.stem, *points(path, arguments.against))
        for path in arguments.results
    ]
    draw(panels, arguments.output, against=arguments.against)


def points(path: Path, against: str) -> tuple[list[Point], Spread | None]:
    """The systems of a results.json, cheapest first, and the oracle's gain.

    Raises:
        UserError: it has no source-only row, or none that gained over it.
    """
    summaries = summarise(read_results(path).rows)
    base, top = find_role(summaries, "source-only"), find_role(summaries, "oracle")
    if base is None:
        raise UserError(f"{path} has no row source-only, over which the others would gain; evaluate it as well")
    found = []
    for summary in summaries:
        cost = minutes(summary) if against == "minutes" else float(labels(summary.name))
        gain = summary.difference(base)
        if summary is not top and summary is not base and cost is not None and gain is not None:
            found.append(Point(summary.name, cost, gain))
    if not found:
        raise UserError(f"{path} has no rows with {against} beside source-only")
    return sorted(found, key=lambda point: point.cost), top.difference(base) if top else None


def minutes(summary: Summary) -> float | None:
    """Of all trainings behind a row, in the mean over seeds."""
    seconds = [row.train_seconds for row in summary.rows if row.train_seconds is not None]
    return sum(seconds) / len(seconds) / 60 if seconds else None


def labels(name: str) -> int:
    """Labelled frames of the target that a row's name tells: 5 for ``five-labels-mic``."""
    before, _, _ = name.partition("-label")
    word = before.rpartition("-")[2]
    return 0 if before == name else int(word) if word.isdigit() else NUMBERS.get(word, 0)


def front(systems: Sequence[Point]) -> list[Point]:
    """The systems, cheapest first, than which none cheaper gains as much."""
    best: list[Point] = []
    for point in sorted(systems, key=lambda point: (point.cost, -point.gain.mean)):
        if not best or point.gain.mean > best[-1].gain.mean:
            best.append(point)
    return best


def draw(panels: Sequence[tuple[str, list[Point], Spread | None]], path: Path, *, against: str) -> None:
    """A panel for each results file."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "acclimate", "font.size": 9})
    # one below the other: beside each other, their names could not be read on a phone
    size = (6.2, 3.6 * len(panels))
    figure, axes = pyplot.subplots(len(panels), 1, figsize=size, squeeze=False, layout="constrained")
    for axis, (name, systems, top) in zip(axes[:, 0], panels, strict=True):
        panel(axis, systems, top=top if against == "labels" else None)
        axis.set_title(name, loc="left", fontsize=10)
        axis.set(xlabel="minutes of training" if against == "minutes" else "labelled frames of the target")
        axis.set_ylabel("gain over source-only, points of mIoU")
    figure.canvas.draw()  # gives the axes their place, by which names are laid out
    for axis, (_, systems, _) in zip(axes[:, 0], panels, strict=True):
        write_names(axis, systems)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def panel(axis: Any, systems: Sequence[Point], *, top: Spread | None) -> None:
    """The systems of one file and the front."""
    best = front(systems)
    axis.plot(*zip(*(point.place for point in best), strict=True), color="#0d7a78", linewidth=1)
    for point in systems:
        colour = "#0d7a78" if point in best else "#66716f"
        spread = None if point.gain.deviation is None else 100 * point.gain.deviation
        axis.errorbar(*point.place, yerr=spread, fmt="o", markersize=4, color=colour, elinewidth=0.8)
    if top is not None:
        axis.axhline(100 * top.mean, color="#c2622a", linewidth=0.8, linestyle="--")
    axis.axhline(0, color="#d9dedd", linewidth=0.8, zorder=0)
    axis.margins(x=0.15)
    axis.spines[["top", "right"]].set_visible(False)


def write_names(axis: Any, systems: Sequence[Point]) -> None:
    """Each name beside its point, the nearest place where it covers neither another name nor a point.

    Call it when the axes have their final place and limits: it measures texts in pixels.
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    dot = axis.figure.dpi / 72  # pixels in a typographical point
    renderer = axis.figure.canvas.get_renderer()
    spots = axis.transData.transform([point.place for point in systems])
    taken = [Bbox.from_bounds(x - 3 * dot, y - 3 * dot, 6 * dot, 6 * dot) for x, y in spots]
    inside = axis.get_window_extent(renderer).padded(4 * dot)
    best = front(systems)
    for point in sorted(systems, key=lambda point: point not in best):
        text = axis.annotate(
            point.name,
            point.place,
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            path_effects=[withStroke(linewidth=2, foreground="white")],  # error bars do not strike names through
            arrowprops={"arrowstyle": "-", "color": "#aab3b1", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
        )
        for reach, (right, up) in product((6, 14, 24, 36, 50, 66), DIRECTIONS):
            text.set(
                position=(reach * right, reach * up), ha=("right", "center", "left")[round(right) + 1], va="center"
            )
            text.arrow_patch.set_visible(reach > 6)
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)
            if inside.contains(*box.min) and inside.contains(*box.max) and not any(map(box.overlaps, taken)):
                break
        taken.append(box)


if __name__ == "__main__":
    run_script(main)
