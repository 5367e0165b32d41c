"""What can be shown of a run without labels of its target: what changed by class, scores, a strip of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.report.pictures import Picture, figure_of_width
from acclimate.report.reading import Examined, Run, Stage

MOST_STEPS = 6
"""Snapshots of a strip, evenly spaced, the last among them."""
STRIP_WIDTH = 240


@dataclass(frozen=True)
class ClassShares:
    """One class: its share of the source's labels and of each model's predictions on the target, and its IoU there.

    Attributes:
        labels: a fraction; None where the source has no labels.
        predicted: of each model, fractions.
        iou: of each model, on the source; None where the class does not occur.
    """

    name: str
    labels: float | None
    predicted: tuple[float, ...]
    iou: tuple[float | None, ...]

    @property
    def gone(self) -> tuple[bool, ...]:
        """For each model, whether it never predicts what the first one does."""
        return tuple(share < 1e-5 <= self.predicted[0] for share in self.predicted)


@dataclass(frozen=True)
class ScoreLine:
    """One score of every model; ``better`` says which direction a better model is expected to go."""

    name: str
    values: tuple[float | None, ...]
    better: str
    percent: bool = False


@dataclass(frozen=True)
class Strip:
    """The same frames at snapshots of one training: (step, pictures)."""

    model: str
    steps: list[tuple[int, list[Picture]]]


@dataclass(frozen=True)
class Unlabelled:
    """What the doctor measured of the models of one seed, side by side."""

    run: str
    models: tuple[str, ...]
    images: int
    held_out: str
    classes: list[ClassShares]
    largest: float
    scores: list[ScoreLine]


def unlabelled(runs: Sequence[Run], names: dict[tuple[int, str], str]) -> list[Unlabelled]:
    """Of each run that the doctor looked at, the models of its first seed."""
    found = []
    for position, run in enumerate(runs):
        first = next((model.seed for model in run.examined), None)
        models = [model for model in run.examined if model.seed == first]
        if models:
            shown = tuple(names.get((position, model.name), model.name) for model in models)
            found.append(_side_by_side(run.name, models, shown))
    return found


def _side_by_side(run: str, models: list[Examined], shown: tuple[str, ...]) -> Unlabelled:
    signals = [model.signals for model in models]
    source = signals[0].source
    classes = [
        ClassShares(
            name=name,
            labels=source.labels.get(name) if source else None,
            predicted=tuple(each.target.predicted.get(name, 0.0) for each in signals),
            iou=tuple(each.source.iou.get(name) if each.source else None for each in signals),
        )
        for name in signals[0].target.predicted
    ]
    scores = [
        ScoreLine(name, values, "higher" if higher else "lower")
        for name, higher in HIGHER_IS_BETTER.items()
        if any(values := tuple(each.target.scores.get(name) for each in signals))
    ]
    scores.append(ScoreLine("confidence", tuple(each.target.confidence for each in signals), "says little", True))
    if source is not None:
        on_source = tuple(each.source.miou if each.source else None for each in signals)
        scores.append(ScoreLine("mIoU on the source", on_source, "higher", True))
    held = "" if source is None else f"held-out pictures of the source ({source.split})"
    if source is not None and not source.held_out:
        held = "training pictures of the source"
    largest = max([*(share for row in classes for share in row.predicted), *(row.labels or 0 for row in classes), 0.01])
    return Unlabelled(run, shown, signals[0].target.images, held, classes, largest, scores)


def strips(stages: Sequence[tuple[str, Stage]]) -> list[Strip]:
    """The strips of trainings that took snapshots: of each model the first seed's.

    Args:
        stages: with the name each model is shown by.
    """
    found: dict[str, Strip] = {}
    for name, stage in stages:
        places = sorted(place for place in (stage.folder / "strip").glob("*") if place.name.isdigit())
        if not places or name in found:
            continue
        count = min(MOST_STEPS, len(places))
        chosen = [places[-1 - (position * (len(places) - 1)) // max(1, count - 1)] for position in range(count)][::-1]
        found[name] = Strip(
            name,
            [
                (int(place.name), [figure_of_width(path, STRIP_WIDTH) for path in sorted(place.glob("*.jpg"))])
                for place in dict.fromkeys(chosen)
            ],
        )
    return list(found.values())
