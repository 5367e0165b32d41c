"""Runs a suite: every recipe for every seed with one store, then one table and one page. Run again, it goes on."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.bench.page import SuiteView, suite_view
from acclimate.bench.suite import Plan, Planned, distinct_stages
from acclimate.bench.suite_runs import SuiteRun
from acclimate.errors import UserError
from acclimate.evaluation.scores import Results
from acclimate.io.environment import environment
from acclimate.io.faults import machine_fault
from acclimate.io.files import write_json, write_text
from acclimate.io.outputs import claim_folder
from acclimate.pipeline.run import Run as RunSettings
from acclimate.pipeline.run import run
from acclimate.recipe.load import EvaluateStage
from acclimate.report.page import render
from acclimate.report.reading import Run, read_run
from acclimate.training.interrupt import Interrupted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A job that ended without results."""

    entry: str
    seed: int
    message: str

    def __str__(self) -> str:
        return f"{self.entry}, seed {self.seed}: {self.message}"


def run_suite(
    plan: Plan, *, output: Path, store: Path | None = None, runner: Callable[..., object] = run
) -> list[Failure]:
    """Runs what is missing, in the plan's order; ``results.json`` and ``report.html`` are written after every job.

    Each job is a run in ``output/ENTRY/seed-N``; stages live in one store, so what recipes share is trained once.

    Args:
        plan: what to run.
        output: the suite's folder.
        store: where finished stages live; None: ``.stages`` in ``output``.
        runner: :func:`acclimate.pipeline.run.run`, or what is called in its place.

    Returns:
        The jobs that failed; the others are done.

    Raises:
        Interrupted: asked to stop; what is finished is written, and the same call goes on.
    """
    failures: list[Failure] = []
    if os.environ.get("RANK", "0") == "0":
        claim_folder(output, "bench")
    for number, (entry, seed) in enumerate(plan.jobs, start=1):
        print(f"{plan.suite.name} {number}/{len(plan.jobs)}: {entry.name}, seed {seed}", file=sys.stderr, flush=True)
        settings = RunSettings(output / entry.name / f"seed-{seed}", (seed,), store or output / ".stages")
        try:
            runner(entry.recipe, settings, origins=entry.origins)
        except (Interrupted, KeyboardInterrupt):
            write_suite(plan, output, failures)
            raise
        except UserError as error:
            failures.append(Failure(entry.name, seed, str(error)))
        except Exception as error:
            if (fault := machine_fault(error)) is not None:
                failures.append(Failure(entry.name, seed, str(fault)))
            else:
                log.exception("%s, seed %d", entry.name, seed)
                failures.append(Failure(entry.name, seed, f"{type(error).__name__}: {error}"))
        if failures and (failures[-1].entry, failures[-1].seed) == (entry.name, seed):
            print(f"failed: {failures[-1]}", file=sys.stderr, flush=True)
        write_results_of(plan, output, failures)
    write_suite(plan, output, failures)
    return failures


def gather(plan: Plan, output: Path) -> list[SuiteRun]:
    """What is finished of the plan, by entry; results of another recipe text than the plan's are left out."""
    found = []
    for entry in plan.entries:
        runs = {
            seed: done for seed in _seeds_there(entry, output) if (done := _finished(entry, seed, output)) is not None
        }
        if runs:
            found.append(SuiteRun(entry.name, _joined(entry, runs, output), runs, entry.mandatory, entry.varied))
    return found


def _seeds_there(entry: Planned, output: Path) -> list[int]:
    """Seeds with a folder, whichever call made it: several processes may share the seeds of a suite."""
    folder = output / entry.name
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(int(match[1]) for child in found if (match := re.fullmatch(r"seed-(\d+)", child.name)))


def _finished(entry: Planned, seed: int, output: Path) -> Run | None:
    folder = output / entry.name / f"seed-{seed}"
    recipe, results = folder / "recipe.yaml", folder / "results.json"
    if not results.is_file() or not recipe.is_file() or recipe.read_text(encoding="utf-8") != entry.text():
        return None
    return read_run(folder)


def _joined(entry: Planned, runs: dict[int, Run], output: Path) -> Run:
    """All seeds of an entry as one run: rows of all, stages, curves and pictures of the first."""
    first = runs[min(runs)]
    rows = [
        row.model_copy(update={"checkpoint": f"{entry.name}/seed-{seed}/{row.checkpoint}"})
        for seed, one in sorted(runs.items())
        for row in one.rows
    ]
    return replace(first, name=entry.name, folder=output / entry.name, rows=rows)


def view_of(plan: Plan, output: Path, failures: Sequence[Failure] = ()) -> SuiteView:
    """Everything the table and the page show, from what is on disk."""
    return suite_view(
        gather(plan, output),
        name=plan.suite.name,
        about=plan.suite.about,
        missing=[f"{entry.name}, seed {seed}" for entry, seed in plan.jobs if _finished(entry, seed, output) is None],
        failed=[str(failure) for failure in failures],
        jobs=len(plan.jobs),
    )


def write_results_of(plan: Plan, output: Path, failures: Sequence[Failure] = ()) -> SuiteView:
    """Writes ``results.json``: every row under the name it is shown by, and what is missing."""
    view = view_of(plan, output, failures)
    rows = Results(rows=view.rows, environment=environment()).model_dump(mode="json", by_alias=True)
    content: dict[str, Any] = {
        **rows,
        "suite": plan.suite.name,
        "complete": not view.missing,
        "missing": view.missing,
        "failed": view.failed,
        **view.measured(),
    }
    write_json(output / "results.json", content)
    return view


def write_suite(plan: Plan, output: Path, failures: Sequence[Failure] = ()) -> SuiteView:
    """Writes ``results.json`` and ``report.html`` from what is finished."""
    view = write_results_of(plan, output, failures)
    write_text(output / "report.html", render([part.run for part in view.runs], suite=view))
    return view


def plan_lines(plan: Plan, output: Path) -> list[str]:
    """What would run, one line per entry, and how much of it recipes share."""
    lines = [f"suite {plan.suite.name}: {len(plan.entries)} recipes, {len(plan.jobs)} runs in {output}"]
    width = max(len(entry.name) for entry in plan.entries)
    for entry in plan.entries:
        done = [seed for seed in entry.seeds if _finished(entry, seed, output) is not None]
        rows = [
            row.name
            for stage in entry.recipe.stages.values()
            if isinstance(stage, EvaluateStage)
            for row in stage.rows()
        ]
        seeds = ",".join(map(str, entry.seeds))
        data = f"{entry.recipe.source or '(--source)'} -> {entry.recipe.target or '(--target)'}"
        mark = "mandatory" if entry.mandatory else "as time allows"
        lines.append(f"{entry.name:{width}}  {data}  seeds {seeds}, {len(done)} done  {mark}  rows: {', '.join(rows)}")
    total, steps = distinct_stages(plan.entries)
    lines.append(
        f"per seed: {total} stages named, {len(steps)} of them different, {sum(steps.values()):,} training steps"
    )
    return lines
