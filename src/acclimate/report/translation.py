"""What a ``translate`` stage did, for the report: distances of colours, and pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.errors import UserError
from acclimate.report.pictures import Picture, figure
from acclimate.report.reading import Run

FIGURE = "translation.png"


@dataclass(frozen=True)
class Translation:
    """A translate stage on the page; distances are in grey levels, one per channel: red, green, blue."""

    place: str
    translator: str
    before: list[float]
    after: list[float]
    picture: Picture | None


def translations(runs: Sequence[Run]) -> list[Translation]:
    """Every translate stage of the runs, those that runs share once.

    Raises:
        UserError: a ``translation.json`` lacks what the page shows.
    """
    found: dict[object, Translation] = {}
    for run in runs:
        for stage in run.stages:
            if stage.translation is None:
                continue
            path = stage.folder / FIGURE
            try:
                distances = stage.translation["wasserstein"]
                found.setdefault(
                    stage.folder.resolve(),
                    Translation(
                        place=stage.place,
                        translator=str(stage.translation["translator"]),
                        before=[float(value) for value in distances["before"]],
                        after=[float(value) for value in distances["after"]],
                        picture=figure(path) if path.exists() else None,
                    ),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{stage.folder / 'translation.json'} is not what a translate stage writes ({error!r}); "
                    "translate again"
                ) from error
    return list(found.values())
