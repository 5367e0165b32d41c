"""Runs a recipe: its stages in order, each done once, for one seed or several; then results and the report page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.data.content import keep_digests_in
from acclimate.data.places import places_read
from acclimate.data.tolerance import write_skipped
from acclimate.evaluation.scores import Row, write_results
from acclimate.io.environment import environment
from acclimate.io.files import remove_leftovers, write_json, write_text
from acclimate.io.outputs import claim_folder
from acclimate.io.whole import whole_run
from acclimate.pipeline.recipe_run import RecipeRun, opened
from acclimate.pipeline.store import Store
from acclimate.recipe.load import Origins, Recipe, explained
from acclimate.stages.data import readable
from acclimate.stages.train import launched_fabric
from acclimate.training.interrupt import stoppable


@dataclass(frozen=True)
class Run:
    """What a run needs besides its recipe.

    Attributes:
        output: the run's folder.
        seeds: one run of every stage per seed.
        store: where finished stages live; None: ``.stages`` beside ``output``, shared by the runs there.
    """

    output: Path
    seeds: Sequence[int] = (0,)
    store: Path | None = None


@stoppable()
def run(recipe: Recipe, settings: Run, *, origins: Origins | None = None) -> list[Row]:
    """Runs every stage of ``recipe`` for every seed and writes ``results.json`` and ``report.html``.

    Stages that are finished are not done again; an interrupted one goes on where it stopped.

    Returns:
        The rows of results, in the recipe's order, seed by seed.

    Raises:
        UserError: the recipe, the data or a checkpoint is at fault.
        Interrupted: asked to stop; the state is saved, and the same call goes on.
    """
    data = opened(recipe)
    store = Store(settings.store or settings.output.parent / ".stages")
    keep_digests_in(store.root / "cache")
    fabric = launched_fabric("32-true")
    if fabric.is_global_zero:
        reads = places_read(data.source, data.target, data.evaluation)
        claim_folder(settings.output, "run", reads=reads)
        claim_folder(store.root, "store", reads=reads)
        remove_leftovers(store.root / "cache")
    if recipe.bad_data == "skip":
        with fabric.rank_zero_first():
            data = readable(data, cap=recipe.bad_data_cap, folder=store.root / "cache")
    if fabric.is_global_zero:
        write_text(settings.output / "recipe.yaml", explained(recipe, origins or {}))
        write_skipped(settings.output, data.skipped)
        write_json(settings.output / "environment.json", {**environment(), "seeds": list(settings.seeds)})
    rows: list[Row] = []
    with whole_run() as whole:
        runs = [
            RecipeRun(recipe, data, seed, store, fabric, settings.output, prefix, whole)
            for seed in settings.seeds
            for prefix in ["" if len(settings.seeds) == 1 else f"seed-{seed}/"]
        ]
        for each in runs:
            each.check()
            whole.expect(each.work_left())
        for each in runs:
            rows.extend(each.run())
    if fabric.is_global_zero:
        from acclimate.report.page import write_report

        write_results(settings.output / "results.json", rows, environment=environment())
        write_report([settings.output], settings.output / "report.html")
    return rows
