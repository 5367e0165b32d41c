"""One self-contained HTML page of one or several runs: numbers, curves and pictures, readable without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from markupsafe import Markup

from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError
from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.evaluation.scores import SOURCE_ONLY, Row
from acclimate.io.files import write_text
from acclimate.report import template
from acclimate.report.boundaries import COLUMNS, BoundaryTable, boundary_table
from acclimate.report.boxes import KINDS, BoxTables, box_tables
from acclimate.report.charts import charts
from acclimate.report.cited import with_cited
from acclimate.report.colour import entropy_colours, model_colours
from acclimate.report.diagnosis import Diagnosis, diagnosis
from acclimate.report.naming import origins_of, renamed_rows, shown_names
from acclimate.report.pictures import Gallery, figure, galleries
from acclimate.report.pseudo_labels import pseudo_label_tables
from acclimate.report.reading import Run, Stage, read_run
from acclimate.report.summary import best_adapted, paragraph
from acclimate.report.tables import Comparison, comparisons
from acclimate.report.translation import translations
from acclimate.report.unlabelled import strips, unlabelled
from acclimate.report.use import usable
from acclimate.report.zoom import zooms


class Suite(Protocol):
    """What the page knows of a suite; the template reads the rest."""

    @property
    def name(self) -> str: ...
    @property
    def about(self) -> str: ...


_SECONDARY = ("learning rate", "images per second")
"""Columns of a history that are not losses; they are drawn after them."""


def write_report(runs: Sequence[Path], output: Path, *, cited: bool = False) -> None:
    """Writes one HTML page comparing runs: self-contained, without scripts or pictures from elsewhere.

    Args:
        runs: folders written by ``acclimate run``; finished or not.
        output: the page to write.
        cited: also show other systems on the same benchmarks, as the papers cite them.

    Raises:
        UserError: a run folder is missing or broken, or the page cannot be written.
    """
    if not runs:
        raise UserError("no run to report on; give at least one run folder")
    write_text(Path(output), render([read_run(Path(folder)) for folder in runs], cited=cited))


def compared_runs(runs: Sequence[Run], *, cited: bool = False, suite: bool = False) -> list[Comparison]:
    """The models of several runs side by side, with the published rows of their recipes, and perhaps cited ones."""
    names = shown_names(runs, first_is_plain=suite)
    rows = renamed_rows(runs, names)
    published = list({row.source + row.name: row for run in runs for row in run.published}.values())
    classes = () if rows else _classes(runs)
    compared = comparisons(rows, published, classes=classes, origins=origins_of(names))
    if not cited:
        return compared
    sources = {str(run.recipe.get("source")).partition(":")[0] for run in runs}
    return [with_cited(comparison, sources) for comparison in compared]


def render(runs: Sequence[Run], *, cited: bool = False, suite: Suite | None = None) -> str:
    """The page as text; with a ``suite``, also what is measured over all of its rows."""
    names = shown_names(runs, first_is_plain=suite is not None)
    rows = renamed_rows(runs, names)
    compared = compared_runs(runs, cited=cited, suite=suite is not None)
    roles: dict[str, str] = {line.name: line.role for comparison in compared for line in comparison.ours}
    best = best_adapted(compared[0]) if compared else None
    best_name = best.name if best else None
    stages = _stage_models(runs, names)
    found = [diagnosis(run) for run in runs]
    for position, each in enumerate(found):
        judged = {} if runs[position].rows else _judged(each, position, names)
        roles.update({name: role for name, role in judged.items() if name not in roles})
        if each.final is not None and best is None and judged:
            best_name = names.get((position, each.final.name), each.final.name)
    colours = model_colours(list(dict.fromkeys(row.name for row in rows)) or list(stages), roles)
    indices = _picture_indices(runs, names)
    pictured = galleries(indices, _baselines(compared, found, names))
    _order_answers(pictured, list(colours))
    curves = charts(_histories(stages, model_colours(list(dict.fromkeys([*colours, *stages])), roles)))
    script, style = template.resource("page.js"), template.resource("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        template.environment()
        .get_template("page.html")
        .render(
            title=f"Suite {suite.name}" if suite else " and ".join(run.name for run in runs),
            suite=suite,
            about=[suite.about]
            if suite
            else list(dict.fromkeys(str(run.recipe["about"]) for run in runs if run.recipe.get("about"))),
            comparisons=[_view(comparison) for comparison in compared],
            boundaries=[_boundaries(comparison, rows) for comparison in compared],
            boxes=[_boxes(comparison, rows, colours) for comparison in compared],
            boundary_columns=COLUMNS,
            error_kinds=KINDS,
            zooms=zooms(indices, list(colours)),
            summary=[(comparison, paragraph(comparison)) for comparison in compared],
            diagnoses=list(zip(runs, found, strict=True)) if suite is None else [],
            unlabelled=[] if suite else unlabelled(runs, names),
            strips=strips([(model, stage) for model, trained in stages.items() for stage in trained]),
            usable=[]
            if suite
            else [(run, usable(run, last=each.safer)) for run, each in zip(runs, found, strict=True)],
            parts={**roles, **({best_name: "best"} if best_name else {})},
            colours=colours,
            class_colours={
                name: colour
                for gallery in pictured
                for name, colour in zip(gallery.classes, gallery.colours, strict=False)
            },
            galleries=pictured,
            charts=[chart for chart in curves if chart.title not in (*_SECONDARY, *HIGHER_IS_BETTER)],
            score_charts=[chart for chart in curves if chart.title in HIGHER_IS_BETTER],
            secondary_charts=[chart for chart in curves if chart.title in _SECONDARY],
            pseudo_labels=[
                (stage, pseudo_label_tables(stage.manifest or {}), [figure(path) for path in stage.figures])
                for run in runs
                for stage in run.stages
                if stage.manifest is not None or stage.figures
            ],
            translations=translations(runs),
            has_labels=bool(rows),
            runs=[(run, _flattened(run.environment)) for run in runs],
            style=Markup(style),
            ramp=", ".join("rgb({}, {}, {})".format(*colour) for colour in entropy_colours()[::15].tolist()),
            script=Markup(script),
            script_digest=digest,
        )
    )


def _stage_names(run: Run) -> dict[str, str]:
    """Stage folder -> model: the row evaluated from it where there is exactly one, else the stage's own name."""
    by_stage: dict[str, list[str]] = {}
    for row in run.rows:
        by_stage.setdefault(row.stage, []).append(row.name)
    return {
        stage.place: rows[0] if len(set(rows := by_stage.get(stage.place, []))) == 1 else stage.name
        for stage in run.stages
    }


def _stage_models(runs: Sequence[Run], names: dict[tuple[int, str], str]) -> dict[str, list[Stage]]:
    models: dict[str, list[Stage]] = {}
    for position, run in enumerate(runs):
        named = _stage_names(run)
        for stage in run.stages:
            if stage.history is not None and stage.history.steps:
                own = named[stage.place]
                clashes = any((other, own) in names for other in range(len(runs)) if other != position)
                shown = names.get((position, own), f"{run.name}: {own}" if clashes else own)
                models.setdefault(shown, []).append(stage)
    return models


def _histories(models: dict[str, list[Stage]], colours: dict[str, str]) -> list[tuple[str, str, Any]]:
    histories: list[tuple[str, str, Any]] = []
    seen: set[Path] = set()
    for model, stages in models.items():
        for stage in stages:
            # runs that share a stage link to the same folder
            if (home := stage.folder.resolve()) not in seen:
                seen.add(home)
                histories.append((model, colours[model], stage.history))
    return histories


def _picture_indices(runs: Sequence[Run], names: dict[tuple[int, str], str]) -> list[tuple[Path, Any, dict[str, str]]]:
    """Picture folders of each run's first seed."""
    found = []
    for position, run in enumerate(runs):
        stages = [stage for stage in run.stages if stage.pictures is not None]
        first = min((stage.seed for stage in stages if stage.seed is not None), default=None)
        shown = {name: label for (run_position, name), label in names.items() if run_position == position}
        found += [(stage.folder / "pictures", stage.pictures, shown) for stage in stages if stage.seed in (None, first)]
        if not stages:
            looked = [model for model in run.examined if model.pictures is not None]
            found += [
                (model.folder / "pictures", model.pictures, shown) for model in looked if model.seed == looked[0].seed
            ]
    return found


def _judged(found: Diagnosis, position: int, names: dict[tuple[int, str], str]) -> dict[str, str]:
    """What a run's models are to each other where nothing has been scored: shown name -> role."""
    roles = {names.get((position, verdict.name), verdict.name): "adapted" for verdict in found.verdicts}
    if found.baseline is not None:
        roles[names.get((position, found.baseline.name), found.baseline.name)] = SOURCE_ONLY
    return roles


def _baselines(
    compared: Sequence[Comparison], found: Sequence[Diagnosis], names: dict[tuple[int, str], str]
) -> dict[str, str]:
    """Shown model -> the shown one, trained on its source alone, that its predictions are compared with."""
    baselines = {
        names.get((position, verdict.name), verdict.name): names.get((position, verdict.baseline), verdict.baseline)
        for position, each in enumerate(found)
        for verdict in each.verdicts
    }
    scored = {line.name: line.source_only for comparison in compared for line in comparison.ours if line.source_only}
    return baselines | scored


def _order_answers(pictured: Sequence[Gallery], order: list[str]) -> None:
    for gallery in pictured:
        for shot in gallery.shots:
            shot.answers.sort(key=lambda answer: order.index(answer.model) if answer.model in order else len(order))


def _classes(runs: Sequence[Run]) -> tuple[str, ...]:
    """The classes of the runs' protocol, for published rows when nothing of ours is there yet."""
    from acclimate.data.class_spaces import class_space
    from acclimate.evaluation.protocols import PROTOCOLS

    for run in runs:
        if (protocol := PROTOCOLS.get(str(run.recipe.get("protocol")))) is not None:
            space: ClassSpace = class_space(protocol.class_space)
            return space.classes
    return ()


@dataclass(frozen=True)
class ComparisonView:
    """A comparison with the axis its dots are drawn on, mIoU fractions."""

    table: Comparison
    low: float
    high: float

    def at(self, value: float | None) -> str:
        """Position on the axis in percent of its length."""
        return "" if value is None else f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


def _boundaries(comparison: Comparison, rows: Sequence[Row]) -> BoundaryTable | None:
    return boundary_table(_scored(comparison, rows), baseline=_baseline(comparison))


def _boxes(comparison: Comparison, rows: Sequence[Row], colours: dict[str, str]) -> BoxTables | None:
    return box_tables(_scored(comparison, rows), baseline=_baseline(comparison), colours=colours)


def _scored(comparison: Comparison, rows: Sequence[Row]) -> list[Row]:
    place = (comparison.data, comparison.split, comparison.protocol)
    return [row for row in rows if (row.data, row.split, row.protocol) == place]


def _baseline(comparison: Comparison) -> str | None:
    line = comparison.line(SOURCE_ONLY)
    return line.name if line else None


def _view(comparison: Comparison) -> ComparisonView:
    values = [value for line in comparison.ours for value in line.seed_mious]
    values += [line.miou.mean for line in comparison.lines if line.miou]
    low, high = min(values, default=0.0), max(values, default=1.0)
    low, high = max(0, int((100 * low - 2) // 5) * 5), min(100, -int(-(100 * high + 2) // 5) * 5)
    return ComparisonView(comparison, low / 100, max(high, low + 5) / 100)


def _flattened(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += _flattened(value, f"{prefix}{key} · ")
        elif value is not None:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs.append((f"{prefix}{key}", shown))
    return pairs
