"""What models of several runs are called side by side, and which ends each is measured against."""

from __future__ import annotations

from collections.abc import Sequence

from acclimate.evaluation.scores import ORACLE, SOURCE_ONLY, Row
from acclimate.report.reading import Run
from acclimate.report.tables import Origin


def shown_names(runs: Sequence[Run]) -> dict[tuple[int, str], str]:
    """What each model of each run is called on the page: its own name, led by the run's where two runs clash.

    Runs that share a finished stage give identical rows; those are one model, not two.
    """
    scores: dict[str, dict[int, set[tuple[object, ...]]]] = {}
    for position, run in enumerate(runs):
        for row in run.rows:
            identity = (row.seed, row.data, row.split, row.protocol, row.miou, *row.iou.items())
            scores.setdefault(row.name, {}).setdefault(position, set()).add(identity)
        for stage in run.stages:
            for model in stage.pictures.images[0].models if stage.pictures and stage.pictures.images else ():
                scores.setdefault(model, {}).setdefault(position, set())
    shown: dict[tuple[int, str], str] = {}
    for name, by_run in scores.items():
        alike = _alike([set(identities) for identities in by_run.values()])
        for position in by_run:
            shown[position, name] = name if alike else f"{runs[position].name}: {name}"
    return shown


def _alike(runs: Sequence[set[tuple[object, ...]]]) -> bool:
    """Whether runs tell the same of a model wherever two of them have the same seed, set and protocol."""
    if len({frozenset(identities) for identities in runs}) == 1:
        return True
    places = [{identity[:4] for identity in identities} for identities in runs]
    consistent = len(set().union(*runs)) == len(set().union(*places))
    return consistent and all(place & places[0] for place in places)


def origins_of(names: dict[tuple[int, str], str]) -> dict[str, Origin]:
    """For every shown name its own, and the names that its run's two ends are shown by."""
    origins: dict[str, Origin] = {}
    for (position, name), shown in names.items():
        ends = [names.get((position, end)) for end in (SOURCE_ONLY, ORACLE)]
        origins.setdefault(shown, Origin(name, *ends))
    return origins


def renamed_rows(runs: Sequence[Run], names: dict[tuple[int, str], str]) -> list[Row]:
    """The rows of all runs under the names they are shown by, each once."""
    unique: dict[tuple[object, ...], Row] = {}
    for position, run in enumerate(runs):
        for row in run.rows:
            renamed = row.model_copy(update={"name": names[position, row.name]})
            unique.setdefault((renamed.name, row.seed, row.data, row.split, row.protocol), renamed)
    return list(unique.values())
