"""The command that needs no recipe: two folders in, an adapted model out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from acclimate.cli.options import Output, Seeds, Set
from acclimate.errors import UserError


def adapt_command(
    source: Annotated[str, typer.Option("--source", help="labelled source, KIND:PATH or a folder")],
    target: Annotated[str, typer.Option("--target", help="unlabelled target, KIND:PATH or a folder of pictures")],
    output: Output = Path("runs/adapt"),
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.01, help="for everything together (default: what the usual steps take here)"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="a protocol's classes, or names for those found, in order: road,sky,car"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="safetensors file to start from, or none for random weights"),
    ] = None,
    seeds: Seeds = "0",
    store: Annotated[Path | None, typer.Option("--store", help="finished stages (default: beside -o)")] = None,
    overrides: Set = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="measure, print the recipe with its plan, and stop")
    ] = False,
) -> None:
    """Adapt a model to your pictures without a recipe: it looks, says what it chose and why, and runs it."""
    from acclimate.cli.doctor import diagnosis_lines
    from acclimate.cli.runs import parse_seeds
    from acclimate.io.outputs import claim_folder
    from acclimate.pipeline.run import Run, run
    from acclimate.planning.adapt import RECIPE, Wanted, drafted, kept_draft, write_draft
    from acclimate.planning.defaults import ADAPTED, CONTROL
    from acclimate.recipe.load import parse_override
    from acclimate.report.diagnosis import diagnosis
    from acclimate.report.reading import read_run
    from acclimate.report.terminal import print_results
    from acclimate.stages.stage import MODEL

    wanted = Wanted(
        source,
        target,
        hours=hours,
        seeds=parse_seeds(seeds),
        weights=weights,
        classes=classes,
        overrides=dict(map(parse_override, overrides or ())),
        store=store or output.parent / ".stages",
    )
    path = output / RECIPE
    if dry_run:
        with TemporaryDirectory() as folder:
            place = Path(folder) / output.name
            text = drafted(wanted, descriptions=place, say=_say).text
        print(text.replace(str(place), str(output)), end="")
        return
    draft = kept_draft(path, wanted)
    if draft is not None:
        _say(f"as planned before, in {path}")
    else:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError(
                "several processes would each choose for themselves: choose in one, with `acclimate adapt ... "
                "--dry-run > mine.yaml`, then start `acclimate run mine.yaml` in several"
            )
        claim_folder(output, "run", reads=[Path(text) for text in (source, target) if Path(text).exists()])
        draft = drafted(wanted, descriptions=output, say=_say)
        write_draft(draft, path)
        assert draft.plan is not None
        for line in draft.plan.lines():
            _say(line)
        _say(f"recipe: {path} (edit it, and `acclimate run {path}` runs it)")
    rows = run(draft.recipe, Run(output=output, seeds=wanted.seeds, store=store), origins=draft.origins)
    if os.environ.get("RANK", "0") != "0":
        return
    if rows:
        print_results(rows)
    for line in diagnosis_lines(output):
        _say(line)
    home = output if len(wanted.seeds) == 1 else output / f"seed-{wanted.seeds[0]}"
    folders = {name: home / f"{number}-{name}" for number, name in enumerate(draft.recipe.stages, start=1)}
    _say(f"model:  {folders[ADAPTED] / MODEL} (the control without the target: {folders[CONTROL] / MODEL})")
    _say(f"page:   {output / 'report.html'}")
    found = diagnosis(read_run(output))
    doubted = found.final is not None and found.safer == found.final.baseline
    _say(f"use it: acclimate predict {folders[CONTROL] / MODEL if doubted else output} FRAMES -o predictions --overlay")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
