"""The stages of a recipe for one seed, one after the other, each done once and found again by what it depends on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from acclimate.data.tolerance import write_skipped
from acclimate.doctor.signals import EXAMINED
from acclimate.evaluation.scores import ORACLE, Row
from acclimate.io.whole import WholeRun
from acclimate.pipeline.sizes import check_input_sizes
from acclimate.pipeline.store import Store, link
from acclimate.recipe.schema import Recipe
from acclimate.stages.evaluate import EvaluateStage, ScoredModels
from acclimate.stages.examine import ExaminedModel, ExaminedSets
from acclimate.stages.stage import MODEL, Context, Done, Place, RunData, Stage
from acclimate.stages.train import launched_fabric
from acclimate.tasks import task_named


def opened(recipe: Recipe) -> RunData:
    """The data sets a recipe names.

    Raises:
        UserError: a spec is missing, its data cannot be read, or pictures are too small for a method.
    """
    evaluated = [stage for stage in recipe.stages.values() if isinstance(stage, EvaluateStage)]
    data = task_named(recipe.task).open(recipe, evaluated)
    check_input_sizes(recipe, data.source, data.target, tolerant=recipe.bad_data == "skip")
    return data


@dataclass
class RecipeRun:
    """One seed's way through a recipe.

    Attributes:
        recipe: what to do.
        data: the opened data.
        seed: of everything random.
        store: where finished stages live.
        fabric: the processes.
        output: the run's folder, which gets a link to every stage.
        prefix: of the links' names: ``seed-0/`` where there are several seeds, else empty.
        whole: told which stage is at work.
        finished: the stages that are done, by name.
    """

    recipe: Recipe
    data: RunData
    seed: int
    store: Store
    fabric: Fabric
    output: Path
    prefix: str
    whole: WholeRun | None = None
    finished: dict[str, Done] = field(default_factory=dict)

    def check(self) -> None:
        """Raises UserError for what is wrong with a stage, now rather than after hours of training."""
        for name, settings in self.recipe.stages.items():
            settings.check(self._context(name))

    def run(self) -> list[Row]:
        """Every stage in order; the rows of the evaluated ones (in the first process alone)."""
        self._examine("sets", ExaminedSets(self._context("")))
        rows: list[Row] = []
        for number, (name, settings) in enumerate(self.recipe.stages.items(), start=1):
            for stage in settings.ready(self._context(name)):
                self.finished[name] = done = self._done_once(stage)
                if MODEL in stage.products and stage.method != ORACLE:
                    self._examine(f"{number}-{name}", ExaminedModel(self._context(name), done))
                if not self.fabric.is_global_zero:
                    continue
                link(
                    self.output / f"{self.prefix}{'-'.join(filter(None, (str(number), name, stage.suffix)))}",
                    done.folder,
                )
                if isinstance(stage, ScoredModels):
                    rows.append(stage.scored(done, stage_name=self._folder_of(stage.row.of[0])))
        return rows

    def _examine(self, name: str, stage: Stage) -> None:
        """Lets the doctor look; what it saw is linked in the run's folder ``examined/``."""
        if self.recipe.examine == 0 or not task_named(self.recipe.task).examined:
            return
        done = self._done_once(stage)
        if self.fabric.is_global_zero:
            link(self.output / f"{self.prefix}{EXAMINED}" / name, done.folder)

    def keys(self) -> Iterator[tuple[str, str]]:
        """(name, key) of every stage, without doing any."""
        for name, stage, key in self.expected():
            yield "-".join(filter(None, (name, stage.suffix))), key

    def expected(self) -> Iterator[tuple[str, Stage, str]]:
        """(its name in the recipe, stage, key) of every stage, without doing any."""
        for name, settings in self.recipe.stages.items():
            for stage in settings.ready(self._context(name)):
                key = self.store.key(stage.verb, stage.identity())
                self.finished[name] = Done(key, self.store.folder(key), {}, stage.method, stage.inputs)
                yield name, stage, key

    def _context(self, name: str) -> Context:
        trained = [each for each, stage in self.recipe.stages.items() if not isinstance(stage, EvaluateStage)]
        place = f"stage {trained.index(name) + 1} of {len(trained)}, " if name in trained else ""
        return Context(
            recipe=self.recipe,
            task=task_named(self.recipe.task),
            data=self.data,
            seed=self.seed,
            cache=self.store.root / "cache",
            finished=self.finished,
            name=name,
            title=f"{name} ({place}seed {self.seed})",
        )

    def _folder_of(self, name: str) -> str:
        return f"{self.prefix}{list(self.recipe.stages).index(name) + 1}-{name}"

    def work_left(self) -> dict[str, float]:
        """Key -> work of every stage that is not done yet, for a :class:`WholeRun`."""
        there = replace(self, finished={}).expected()
        return {key: stage.work() for _, stage, key in there if not self.store.has(key)}

    def _done_once(self, stage: Stage) -> Done:
        """The stage as the store has it, done now unless it was done before."""
        identity = stage.identity()
        key = self.store.key(stage.verb, identity)
        with self.whole.stage(key, stage.title) if self.whole is not None else nullcontext():
            return self._as_the_store_has_it(stage, key, identity)

    def _as_the_store_has_it(self, stage: Stage, key: str, identity: dict[str, Any]) -> Done:
        store = self.store
        summary = store.finished(key)
        if summary is not None:
            if self.fabric.is_global_zero:
                stage.clear(store.folder(key))  # what a process left that was killed right after it was done
            if stage.verb not in ("evaluate", "examine"):
                _say(f"{stage.title}: already done, reused")
        elif stage.shared and not self.fabric.is_global_zero:
            summary = stage.run(Place(store.folder(key), store.root / "cache", launched_fabric(stage.precision)))
        elif self.fabric.is_global_zero:
            fabric = launched_fabric(stage.precision) if stage.shared else self.fabric
            with store.working_on(key, identity) as folder:
                write_skipped(folder, self.data.skipped)
                summary = stage.run(Place(folder, store.root / "cache", fabric)) | self.data.skipped_counts()
                store.finish(key, summary, stage.products)
                stage.clear(folder)  # not before: killed in between, the stage would begin anew
        self.fabric.barrier()
        return Done(key, store.folder(key), summary or {}, method=stage.method, made_from=stage.inputs)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
