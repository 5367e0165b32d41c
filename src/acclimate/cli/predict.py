"""The command that uses a model: `acclimate predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.cli.options import InferenceKeys, Output, Processes
from acclimate.errors import UserError

if TYPE_CHECKING:
    from acclimate.training.team import Team


def checkpoint_named(path: Path) -> Path:
    """The checkpoint that a file, or the folder of a run, stands for; of a folder, says which one."""
    from acclimate.evaluation.model import checkpoint_in

    checkpoint = checkpoint_in(path)
    if path.is_dir():
        print(f"{path}: {checkpoint}, the last model that is no oracle", file=sys.stderr)
    return checkpoint


def predict_command(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors, or the folder of a run")],
    images: Annotated[
        list[str],
        typer.Argument(help="images, videos, folders, 'patterns/*.png', lists (.txt), or the number of a camera"),
    ],
    output: Output = Path("predictions"),
    colours: Annotated[bool, typer.Option("--colours", help="also write every pixel in its class's colour")] = False,
    overlay: Annotated[bool, typer.Option("--overlay", help="also write the colours over the image")] = False,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="also write the probability of the class named, 0 to 255")
    ] = False,
    entropy: Annotated[bool, typer.Option("--entropy", help="also write entropy maps")] = False,
    frames: Annotated[bool, typer.Option("--frames", help="of videos: pictures of every frame, not a video")] = False,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.0, help="of videos and cameras: stop after so many"),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="images of one size at once: faster on a GPU")] = 1,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)"),
    ] = None,
    label_format: Annotated[
        str, typer.Option("--format", help="cityscapes: label ids, named as the official evaluation wants them")
    ] = "train-ids",
    score: Annotated[
        float | None,
        typer.Option("--score", min=0.0, max=1.0, help="of detectors: draw the boxes above it (default: 0.5)"),
    ] = None,
    inference: InferenceKeys = None,
    processes: Processes = 1,
) -> None:
    """Write label maps (8-bit PNG of train ids, coloured by palette) of images and folders; of videos, videos."""
    from acclimate.cli.models import inference_of
    from acclimate.cli.several import in_several_processes
    from acclimate.evaluation.inputs import inputs_named
    from acclimate.evaluation.model import load
    from acclimate.io.environment import device_named
    from acclimate.stages.predict import Wanted, predict_inputs
    from acclimate.stages.train import launched_team
    from acclimate.tasks import is_detector, predict_boxes

    asked = {"colours": colours, "overlay": overlay, "confidence": confidence, "entropy": entropy}
    checkpoint = checkpoint_named(checkpoint)
    detector = is_detector(checkpoint)
    if detector:
        _refuse_of_detectors(
            checkpoint, {**asked, "batch": batch > 1, "format": label_format != "train-ids", "set": bool(inference)}
        )
    elif score is not None:
        raise UserError(f"{checkpoint} is no detector, whose boxes --score is about: leave it out")
    in_several_processes(processes)
    team = launched_team()
    device = device or team.device
    model = None if detector else load(checkpoint, device=device)
    kinds = [kind for kind, wanted in asked.items() if wanted]
    wanted = Wanted(kinds, label_format, frames, seconds, batch, inference_of(inference or ()))
    inputs = inputs_named(images, output, claim=team.first)
    team.meet()
    if model is None:
        drawn = predict_boxes(
            checkpoint,
            inputs,
            output=output,
            device=device_named(device),
            score=score,
            frames=frames,
            seconds=seconds,
            team=team,
        )
        _tell(drawn, team)
        return
    _tell(predict_inputs(model, inputs, output=output, wanted=wanted, team=team), team)
    if team.first:
        print(f"legend: {output / 'legend.png'}", file=sys.stderr)


def _refuse_of_detectors(checkpoint: Path, asked: Mapping[str, bool]) -> None:
    """A detector has no maps of classes, which these options are about.

    Raises:
        UserError: one of them was asked for.
    """
    if given := [f"--{flag}" for flag, wanted in asked.items() if wanted]:
        alone = "which draws boxes, one picture at a time"
        raise UserError(f"{checkpoint} is a detector, {alone}: leave out {' and '.join(given)}")


def _tell(written: Iterable[Path], team: Team) -> None:
    """Prints the files as they are written; of several processes, the first prints all at the end."""
    if team.size == 1:
        for path in written:
            print(path)
        return
    found = team.gathered([str(path) for path in written])
    if team.first:
        print("\n".join(sorted(path for share in found for path in share)))
