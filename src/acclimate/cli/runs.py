"""The commands that run recipes and suites, and compare what they gave."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli.options import Output, Processes, Seeds, Set
from acclimate.errors import UserError


def demo_command(
    output: Output = Path("runs/demo"),
    seeds: Seeds = "0",
    quick: Annotated[bool, typer.Option("--quick", help="a minute instead of ten; the numbers mean little")] = False,
    target: Annotated[str, typer.Option("--target", help="another look: scenes:dusk, scenes:fog, scenes:rain")] = "",
    overrides: Set = None,
) -> None:
    """Adapt built-in renders to built-in camera pictures: source-only, adabn, minent, advent and oracle."""
    recipe = "demo-quick" if quick else "demo"
    run_command(recipe, output=output, seeds=seeds, target=target or None, overrides=overrides)


def run_command(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (`acclimate list recipes`) or a YAML file")],
    source: Annotated[str | None, typer.Option("--source", help="labelled source, KIND:PATH")] = None,
    target: Annotated[str | None, typer.Option("--target", help="unlabelled target, KIND:PATH")] = None,
    output: Output = Path("runs/run"),
    seeds: Seeds = "0",
    store: Annotated[Path | None, typer.Option("--store", help="finished stages (default: beside -o)")] = None,
    overrides: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the recipe and what it will cost")] = False,
    processes: Processes = 1,
) -> None:
    """Run a recipe. The same command again goes on where it stopped and reuses what is finished."""
    from acclimate.cli.doctor import diagnosis_lines
    from acclimate.cli.several import in_several_processes
    from acclimate.pipeline.run import Run, run
    from acclimate.planning.plan import plan_of
    from acclimate.recipe.load import explained, load_recipe, parse_override
    from acclimate.report.terminal import print_results

    specs = _given(source, target)
    loaded, origins = load_recipe(recipe, overrides=dict(map(parse_override, overrides or ())) | specs)
    origins.update({key: f"--{key}" for key in specs})
    if dry_run:
        print(explained(loaded, origins), end="", flush=True)
        plan = plan_of(loaded, seeds=parse_seeds(seeds), store=store or output.parent / ".stages")
        print("\n".join(f"# {line}".rstrip() for line in plan.lines()))
        return
    in_several_processes(processes)
    rows = run(loaded, Run(output=output, seeds=parse_seeds(seeds), store=store), origins=origins)
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes, the first one tells
    if rows:
        print_results(rows)
    print("\n".join(diagnosis_lines(output)), file=sys.stderr)
    print(f"scores: {output / 'results.json'}\npage:   {output / 'report.html'}", file=sys.stderr)


def bench_command(
    suite: Annotated[str, typer.Argument(help="a suite's name (`acclimate list suites`) or a YAML file")],
    source: Annotated[str | None, typer.Option("--source", help="labelled source of every recipe, KIND:PATH")] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="unlabelled target of every recipe, KIND:PATH"),
    ] = None,
    output: Output = Path("runs/bench"),
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="comma-separated seeds in place of the suite's own"),
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="finished stages (default: in -o)")] = None,
    overrides: Set = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="only entries of that name, such as 'gta5-*' (repeatable)"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would run and what is done, and stop")] = False,
) -> None:
    """Run a suite of recipes and seeds and compare all rows. The same command again runs what is missing."""
    from acclimate.bench.running import plan_lines, run_suite, view_of
    from acclimate.bench.suite import only as only_entries
    from acclimate.bench.suite import plan
    from acclimate.bench.terminal import print_suite
    from acclimate.recipe.load import parse_override

    values = dict(map(parse_override, overrides or ())) | _given(source, target)
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


def report_command(
    runs: Annotated[list[Path], typer.Argument(help="run folders")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the page to write")] = Path("report.html"),
    published: Annotated[
        bool,
        typer.Option("--published", help="also print, and show, published numbers beside ours, cited systems below"),
    ] = False,
) -> None:
    """Write one self-contained page that compares runs."""
    from acclimate.io.outputs import claim_file
    from acclimate.report.page import compared_runs, write_report
    from acclimate.report.reading import read_run
    from acclimate.report.terminal import print_comparisons

    claim_file(output, "page")
    write_report(runs, output, cited=published)
    if published:
        print_comparisons(compared_runs([read_run(folder) for folder in runs], cited=True))
    print(output)
