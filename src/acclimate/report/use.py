"""The commands that make something of a run's models, with paths, ready to be pasted."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from acclimate.evaluation.scores import ORACLE
from acclimate.report.reading import Run

MODEL = "model.safetensors"


@dataclass(frozen=True)
class Usable:
    """A model that can be used.

    Attributes:
        name: of the model.
        place: its file, inside the run's folder.
        commands: (what for, the command).
    """

    name: str
    place: str
    commands: tuple[tuple[str, str], ...]


def usable(run: Run, *, last: str | None = None) -> list[Usable]:
    """A run's models, oracles aside: the one to use first.

    Args:
        run: as read.
        last: the stage whose model is to be used; None: the last one trained.
    """
    trained = {
        stage.name: stage
        for stage in reversed(run.stages)
        if (stage.folder / MODEL).exists() and _method(run, stage.name) != ORACLE
    }
    if last in trained:
        trained = {last: trained[last], **trained}
    return [
        Usable(name, f"{stage.place}/{MODEL}", _commands(run, run.folder / stage.place / MODEL))
        for name, stage in trained.items()
    ]


def _method(run: Run, name: str) -> str:
    stages = run.recipe.get("stages")
    stage = stages.get(name) if isinstance(stages, dict) else None
    return str(stage.get("train", "")) if isinstance(stage, dict) else ""


def _commands(run: Run, model: Path) -> tuple[tuple[str, str], ...]:
    labelled = run.recipe.get("evaluation") or run.recipe.get("target")
    data = labelled if run.rows and labelled else "folder:LABELLED/dataset.yaml"
    return (
        ("label maps and overlays of images or folders", _line("predict", model, "FRAMES", "--overlay", "-o", "out")),
        ("its score, once some frames have labels", _line("evaluate", model, "--data", str(data))),
        ("a file for other programs", _line("export", model, "-o", f"{run.name}.onnx")),
    )


def _line(command: str, model: Path, *rest: str) -> str:
    return shlex.join(["acclimate", command, model.as_posix(), *rest])
