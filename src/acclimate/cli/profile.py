"""`acclimate profile`: where a training step's time and memory go."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.options import Set


def profile_command(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (`acclimate list recipes`) or a YAML file")],
    stage: Annotated[str | None, typer.Option("--stage", help="which of its trainings (default: the last)")] = None,
    source: Annotated[str | None, typer.Option("--source", help="labelled source, KIND:PATH")] = None,
    target: Annotated[str | None, typer.Option("--target", help="unlabelled target, KIND:PATH")] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="steps that are timed, twice")] = 5,
    output: Annotated[Path, typer.Option("-o", "--output", help="the trace to write")] = Path("profile.json"),
    overrides: Set = None,
) -> None:
    """Say where a training step's time and memory go; writes a trace for chrome://tracing or ui.perfetto.dev."""
    from acclimate.io.files import atomic
    from acclimate.io.outputs import claim_file
    from acclimate.recipe.load import load_recipe, parse_override

    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the tracer has much to tell of itself
    given = {key: spec for key, spec in (("source", source), ("target", target)) if spec is not None}
    loaded, _ = load_recipe(recipe, overrides=dict(map(parse_override, overrides or ())) | given)
    claim_file(output, "trace")

    from acclimate.pipeline.recipe_run import opened
    from acclimate.planning.profiling import profiled

    with atomic(output) as temporary:
        profile = profiled(loaded, opened(loaded), stage=stage, steps=steps, trace=temporary)
    print("\n".join(profile.lines()))
    print(f"trace: {output}", file=sys.stderr)
