"""The command that uses a model: `acclimate predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.options import InferenceKeys, Output
from acclimate.errors import UserError


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
    inference: InferenceKeys = None,
) -> None:
    """Write label maps (8-bit PNG of train ids, coloured by palette) of images and folders; of videos, videos."""
    from acclimate.cli.models import inference_of
    from acclimate.evaluation.inputs import inputs_named, only_pictures
    from acclimate.evaluation.model import load
    from acclimate.io.environment import device_named
    from acclimate.stages.predict import Wanted, predict_inputs
    from acclimate.tasks import is_detector, predict_boxes

    asked = {"colours": colours, "overlay": overlay, "confidence": confidence, "entropy": entropy}
    kinds = [kind for kind, wanted in asked.items() if wanted]
    checkpoint = checkpoint_named(checkpoint)
    if is_detector(checkpoint):
        if kinds:
            flags = " and ".join(f"--{kind}" for kind in kinds)
            raise UserError(f"{checkpoint} is a detector, which draws boxes: leave out {flags}")
        jobs = only_pictures(inputs_named(images, output))
        for path in predict_boxes(checkpoint, jobs, output=output, device=device_named(device)):
            print(path)
        return
    model = load(checkpoint, device=device)
    wanted = Wanted(kinds, label_format, frames, seconds, batch, inference_of(inference or ()))
    for path in predict_inputs(model, inputs_named(images, output), output=output, wanted=wanted):
        print(path)
    print(f"legend: {output / 'legend.png'}", file=sys.stderr)
