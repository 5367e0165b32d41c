"""What models of several runs are called side by side, and which ends each is measured against."""

from __future__ import annotations

from collections.abc import Sequence

from acclimate.evaluation.scores import ORACLE, SOURCE_ONLY, Row
from acclimate.report.reading import Run
from acclimate.report.tables import Origin


def shown_names(runs: Sequence[Run], *, first_is_plain: bool = False) -> dict[tuple[int, str], str]:
    """What each model of each run is called on the page: its own name, led by the run's where runs are compared.

    Runs that share a finished stage give identical rows; those are one model, not two, and one that all runs share
    keeps its plain name.

    Args:
        runs: in the order of the page.
        first_is_plain: of runs on the same target, names are led by the run's only where they clash, and not the first.
    """
    targets = {(run.recipe.get("target"), run.recipe.get("evaluation")) for run in runs}
    first_is_plain = first_is_plain and len(targets) == 1
    scores: dict[str, dict[int, set[tuple[object, ...]]]] = {}
    for position, run in enumerate(runs):
        for row in run.rows:
            identity = (row.seed, row.data, row.split, row.protocol, row.miou, *row.iou.items())
            scores.setdefault(row.name, {}).setdefault(position, set()).add(identity)
        for stage in run.stages:
            for model in stage.pictures.images[0].models if stage.pictures and stage.pictures.images else ():
                scores.setdefault(model, {}).setdefault(position, set())
        for examined in run.examined:
            # without scores, what tells models apart is the stage in the store that looked at them
            known = scores.setdefault(examined.name, {}).setdefault(position, set())
            if not run.rows:
                known.add((examined.seed, "examined", "", "", examined.folder.resolve().name))
    shown: dict[tuple[int, str], str] = {}
    for name, by_run in scores.items():
        groups: list[tuple[int, set[tuple[object, ...]]]] = []  # first run, and what its like tell of the model
        member: dict[int, int] = {}
        for position, identities in by_run.items():
            first = next((first for first, known in groups if _alike(known, identities)), None)
            if first is None:
                groups.append((position, set(identities)))
            else:
                next(known for other, known in groups if other == first).update(identities)
            member[position] = position if first is None else first
        for position, first in member.items():
            shared = len(groups) == 1 and len(by_run) == len(runs)
            plain = shared or (first_is_plain and (len(groups) == 1 or first == groups[0][0]))
            shown[position, name] = name if plain else f"{runs[first].name}: {name}"
    return shown


def _alike(first: set[tuple[object, ...]], second: set[tuple[object, ...]]) -> bool:
    """Whether two runs tell the same of a model wherever they have the same seed, set and protocol."""
    if first == second:
        return True
    places = [{identity[:4] for identity in identities} for identities in (first, second)]
    return bool(places[0] & places[1]) and len(first | second) == len(places[0] | places[1])


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
