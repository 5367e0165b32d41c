"""The commands that run recipes and suites, and compare what they gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.errors import UserError


def run_command(
    recipe: str,
    *,
    output: Path,
    seeds: str,
    source: str | None = None,
    target: str | None = None,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
) -> None:
    """Runs a recipe and prints its table."""
    from acclimate.cli.doctor import diagnosis_lines
    from acclimate.pipeline.run import Run, run
    from acclimate.recipe.load import explained, load_recipe, parse_override
    from acclimate.report.terminal import print_results

    specs = _given(source, target)
    loaded, origins = load_recipe(recipe, overrides=dict(map(parse_override, overrides)) | specs)
    origins.update({key: f"--{key}" for key in specs})
    if dry_run:
        print(explained(loaded, origins), end="")
        return
    rows = run(loaded, Run(output=output, seeds=parse_seeds(seeds), store=store), origins=origins)
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes, the first one tells
    if rows:
        print_results(rows)
    print("\n".join(diagnosis_lines(output)), file=sys.stderr)
    print(f"scores: {output / 'results.json'}\npage:   {output / 'report.html'}", file=sys.stderr)


def bench_command(
    suite: str,
    *,
    output: Path,
    seeds: str | None = None,
    source: str | None = None,
    target: str | None = None,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    dry_run: bool = False,
) -> None:
    """Runs a suite and prints its tables, or with ``dry_run`` what it would run."""
    from acclimate.bench.running import plan_lines, run_suite, view_of
    from acclimate.bench.suite import only as only_entries
    from acclimate.bench.suite import plan
    from acclimate.bench.terminal import print_suite
    from acclimate.recipe.load import parse_override

    values = dict(map(parse_override, overrides)) | _given(source, target)
    planned = plan(suite, seeds=None if seeds is None else parse_seeds(seeds), overrides=values)
    if only:
        planned = only_entries(planned, *only)
    if dry_run:
        print("\n".join(plan_lines(planned, output)))
        return
    failures = run_suite(planned, output=output, store=store)
    if os.environ.get("RANK", "0") == "0":
        print_suite(view_of(planned, output, failures))
        print(f"scores: {output / 'results.json'}\npage:   {output / 'report.html'}", file=sys.stderr)
    if failures:
        raise UserError(
            f"{len(failures)} of {len(planned.jobs)} runs of suite {planned.suite.name} failed; what the others gave "
            "is kept, and the same command runs these again:\n  " + "\n  ".join(map(str, failures))
        )


def _given(source: str | None, target: str | None) -> dict[str, Any]:
    """The data sets that the command line names, by the recipe's key."""
    return {key: spec for key, spec in (("source", source), ("target", target)) if spec is not None}


def parse_seeds(text: str) -> list[int]:
    """``0,1,2`` as numbers.

    Raises:
        UserError: something is not a whole number, or a seed appears twice.
    """
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds takes whole numbers separated by commas, such as 0,1,2; got {text!r}") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds takes different numbers from 0 up, got {text!r}")
    return seeds


def report_command(runs: Sequence[Path], *, output: Path, published: bool) -> None:
    """Writes the page that compares runs; with ``published`` also prints ours, the papers' and cited numbers."""
    from acclimate.io.outputs import claim_file
    from acclimate.report.page import compared_runs, write_report
    from acclimate.report.reading import read_run
    from acclimate.report.terminal import print_comparisons

    claim_file(output, "page")
    write_report(runs, output, cited=published)
    if published:
        print_comparisons(compared_runs([read_run(folder) for folder in runs], cited=True))
    print(output)
