"""`acclimate doctor`: what is wrong with a run, in words, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.report.diagnosis import Diagnosis


def doctor_command(runs: Annotated[list[Path], typer.Argument(help="run folders, finished or not")]) -> None:
    """Say what is wrong with a run and what to do about it: data, training, models, and the verdict."""
    for folder in runs:
        print("\n".join(diagnosis_lines(folder)))


def diagnosis_lines(folder: Path) -> Iterator[str]:
    """The findings of a run, the verdict on its models, and which model to use."""
    from acclimate.report.diagnosis import diagnosis
    from acclimate.report.reading import read_run

    run = read_run(folder)
    found = diagnosis(run)
    count = len(found.told)
    yield f"{folder}: {'nothing found' if not count else f'{count} finding' + ('s' if count > 1 else '')}"
    for told in found.told:
        seeds = f", seed {', '.join(map(str, told.seeds))}" if told.seeds else ""
        yield f"  {told.severity.upper():8} {told.where}{seeds}: {told.title}"
        yield f"           {told.finding.words}."
        yield f"           -> {told.finding.advice}."
    yield from _verdict_lines(folder, found)
    if not found.looked:
        yield "  No model of this run has been looked at; the same `acclimate run` again does so."


def _verdict_lines(folder: Path, found: Diagnosis) -> Iterator[str]:
    if found.final is None:
        return
    yield f"  {found.final.words}"
    if found.safer == found.final.baseline and found.baseline is not None:
        yield f"  {found.final.baseline}: {folder / found.baseline.place / 'model.safetensors'}"
