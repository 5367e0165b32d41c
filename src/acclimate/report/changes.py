"""Models side by side: each value over seeds, and what it changed against source-only, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from acclimate.evaluation.scores import Spread, spread

Key = TypeVar("Key")


@dataclass(frozen=True)
class ChangeLine(Generic[Key]):
    """One model.

    Attributes:
        values: key -> mean and deviation over seeds, of fractions; None where no seed has one.
        changes: the same minus source-only's, paired by seed; None for source-only and where there are no pairs.
    """

    name: str
    values: dict[Key, Spread | None]
    changes: dict[Key, Spread | None]


def change_lines(
    models: Mapping[str, Mapping[int, Mapping[Key, float | None]]], keys: Iterable[Key], *, baseline: str | None
) -> tuple[ChangeLine[Key], ...]:
    """A line for every model.

    Args:
        models: name -> seed -> key -> a fraction, None where it has none.
        keys: of the values.
        baseline: name of the model that changes are measured against; None: there is none.
    """
    base, keys = models.get(baseline or "", {}), tuple(keys)
    lines = []
    for name, seeds in models.items():
        pairs = [(seeds[seed], base[seed]) for seed in seeds if seed in base and name != baseline]
        values = {key: spread([each[key] for each in seeds.values()]) for key in keys}
        changes = {key: spread([_change(ours[key], theirs[key]) for ours, theirs in pairs]) for key in keys}
        lines.append(ChangeLine(name, values, changes))
    return tuple(lines)


def _change(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs
