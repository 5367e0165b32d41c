"""The command that uses a model: `acclimate predict`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import UserError


def checkpoint_named(path: Path) -> Path:
    """The checkpoint that a file, or the folder of a run, stands for; of a folder, says which one."""
    from acclimate.evaluation.model import checkpoint_in

    checkpoint = checkpoint_in(path)
    if path.is_dir():
        print(f"{path}: {checkpoint}, the last model that is no oracle", file=sys.stderr)
    return checkpoint


def predict_command(
    checkpoint: Path,
    images: Sequence[str],
    *,
    output: Path,
    kinds: Sequence[str] = (),
    label_format: str = "train-ids",
    frames: bool = False,
    seconds: float | None = None,
    batch: int = 1,
    device: str | None = None,
    inference: Sequence[str] = (),
) -> None:
    """Predicts pictures, folders, lists, patterns, videos and cameras, and prints where each result went."""
    from acclimate.cli.models import inference_of
    from acclimate.evaluation.inputs import inputs_named, only_pictures
    from acclimate.evaluation.model import load
    from acclimate.io.environment import device_named
    from acclimate.stages.predict import Wanted, predict_inputs
    from acclimate.tasks import is_detector, predict_boxes

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
    wanted = Wanted(kinds, label_format, frames, seconds, batch, inference_of(inference))
    for path in predict_inputs(model, inputs_named(images, output), output=output, wanted=wanted):
        print(path)
    print(f"legend: {output / 'legend.png'}", file=sys.stderr)
