"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option("-o", "--output", help="folder to write to")]
Seeds = Annotated[str, typer.Option("--seeds", help="comma-separated seeds, one run each: 0 or 0,1,2")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="override a key of the recipe, e.g. --set training.steps=400 (repeatable)"),
]
InferenceKeys = Annotated[
    list[str] | None,
    typer.Option("--set", help="a key of the inference, e.g. --set flip=true --set 'scales=[0.75, 1.0]' (repeatable)"),
]
Spec = Annotated[str, typer.Option("--data", help="the data set, KIND:PATH")]
Task = Annotated[
    str | None,
    typer.Option("--task", help="detection: the boxes of a kind that has label maps too (default: what the kind has)"),
]
Processes = Annotated[
    int, typer.Option("--processes", min=1, help="of this machine that share the work, a GPU each where there are any")
]
