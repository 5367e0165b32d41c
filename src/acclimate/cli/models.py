"""The commands that take a model: score it, use it, import and export it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.cli.options import InferenceKeys, Processes, Spec
from acclimate.errors import UserError
from acclimate.io.outputs import claim_file

if TYPE_CHECKING:
    from acclimate.evaluation.inference import Inference
    from acclimate.exchange.importing import InputSize


def evaluate_command(
    checkpoints: Annotated[list[Path], typer.Argument(help="models or folders of runs; several are averaged")],
    data: Spec,
    split: Annotated[str, typer.Option("--split")] = "val",
    protocol_name: Annotated[str | None, typer.Option("--protocol", help="`acclimate list protocols`")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="also write the scores to this file")] = None,
    inference: InferenceKeys = None,
    processes: Processes = 1,
) -> None:
    """Score checkpoints on a labelled set."""
    from acclimate.cli.predict import checkpoint_named
    from acclimate.cli.several import in_several_processes
    from acclimate.data.places import places_read
    from acclimate.data.registry import open_dataset
    from acclimate.evaluation.scores import write_results
    from acclimate.models.checkpoint import read_card
    from acclimate.report.terminal import print_results
    from acclimate.stages.data import protocol_and_classes
    from acclimate.stages.evaluate import EvaluateRequest, evaluate
    from acclimate.stages.train import launched_rank, launched_team
    from acclimate.tasks import is_detector, score_checkpoint

    checkpoints = [checkpoint_named(path) for path in checkpoints]
    if json is not None and launched_rank() == 0:
        claim_file(json, "scores", reads=checkpoints)
    if is_detector(checkpoints[0]):
        if len(checkpoints) > 1:
            raise UserError("detectors are scored one by one; give one checkpoint")
        in_several_processes(processes)
        team = launched_team()
        if json is not None and team.first:
            claim_file(json, "scores", reads=[Path(data.partition(":")[2].partition(",")[0])])
        row = score_checkpoint(checkpoints[0], data=data, split=split, protocol=protocol_name, team=team)
        if not team.first:
            return
        print_results([row])
        if json is not None:
            write_results(json, [row])
        return
    in_several_processes(processes)
    team = launched_team()
    card = read_card(checkpoints[0])
    protocol, space = protocol_and_classes(protocol_name, data, classes=card.space())
    protocol = protocol.asking(inference_of(inference or ()), size=card.input_size)
    request = EvaluateRequest(
        name=" + ".join(str(path.parent.name or path.stem) for path in checkpoints),
        method=card.method or "",
        seed=card.seed or 0,
        checkpoints=checkpoints,
        weights=None,
        data=open_dataset(data, split=split, class_space=space),
        protocol=protocol,
        class_space=space,
        pictured={},
        pictures=0,
    )
    if json is not None and team.first:
        claim_file(json, "scores", reads=places_read(request.data))
    row = evaluate(request, folder=None, title="evaluate", device=team.device, team=team)
    if not team.first:
        return
    row = row.model_copy(update={"checkpoint": " + ".join(str(path) for path in checkpoints)})
    print_results([row])
    if json is not None:
        write_results(json, [row])


def inference_of(overrides: Sequence[str]) -> Inference:
    """``KEY=VALUE`` of the inference.

    Raises:
        UserError: a key is unknown or a value out of range.
    """
    from acclimate.evaluation.inference import Inference
    from acclimate.recipe.load import parse_override, validated

    return validated(Inference, dict(parse_override(text) for text in overrides), "the inference")


def import_command(
    file: Annotated[
        Path, typer.Argument(help="a published checkpoint: .pth, .params, or safetensors with the same keys")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write")] = Path("model.safetensors"),
    layout: Annotated[
        str, typer.Option("--layout", help="auto, adaptsegnet, advent, bdl, fada, cbst, initial-weights")
    ] = "auto",
    branches: Annotated[
        int | None,
        typer.Option("--branches", help="branches of the heads that are summed, 2 or 4 (default: told by the values)"),
    ] = None,
    class_space: Annotated[str | None, typer.Option("--class-space", help="default: by number of classes")] = None,
    input_size: Annotated[
        str | None,
        typer.Option("--input-size", help="WIDTHxHEIGHT, or native (default: at which the authors evaluate)"),
    ] = None,
) -> None:
    """Turn weights that authors published into a checkpoint, without running anything in the file."""
    from acclimate.exchange.importing import import_weights

    if branches not in (None, 2, 4):
        raise UserError(f"--branches is 2 or 4, not {branches}: published heads sum the first two branches or all four")
    size = None if input_size is None else _size(input_size)
    imported = import_weights(file, output, layout=layout, branches=branches, space=class_space, input_size=size)
    print(imported.summary())


def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors, or the folder of a run")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write: .onnx or .pt2")] = Path(
        "model.onnx"
    ),
    enlarge: Annotated[bool, typer.Option("--enlarge", help="logits at the images' size, not at the stride")] = False,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="largest difference allowed, relative to the largest value")
    ] = 1e-4,
) -> None:
    """Write a model for other programs, preprocessing included, and compare it with ours first."""
    from acclimate.cli.predict import checkpoint_named
    from acclimate.exchange.exporting import export_network
    from acclimate.tasks import export_detector, is_detector

    checkpoint = checkpoint_named(checkpoint)
    if not 0 <= tolerance < 1:
        raise UserError(f"--tolerance is a share of the largest value, from 0 to below 1, not {tolerance:g}")
    if is_detector(checkpoint):
        if enlarge:
            raise UserError(f"{checkpoint} is a detector, which has no logits to enlarge; leave out --enlarge")
        comparisons = export_detector(checkpoint, output, tolerance=tolerance)
    else:
        comparisons = export_network(checkpoint, output, enlarge=enlarge, tolerance=tolerance)
    for comparison in comparisons:
        print(comparison)
    print(f"written to {output}")
    if output.suffix == ".onnx":
        print(f"run it with onnxruntime alone: python {output.with_suffix('.py')} PICTURE...")


def _size(text: str) -> InputSize:
    """``1024x512`` as (width, height) in pixels; ``native`` as it is."""
    if text == "native":
        return "native"
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 1):
        raise UserError(f"--input-size takes WIDTHxHEIGHT in pixels, such as 1024x512, or 'native'; got {text!r}")
    return int(width), int(height)
