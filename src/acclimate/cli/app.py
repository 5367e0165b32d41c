"""The command line: one thin function per command, no logic. Results go to stdout, progress and problems to stderr."""

from __future__ import annotations

import contextlib
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from acclimate.errors import UserError
from acclimate.training.interrupt import INTERRUPTED, Interrupted, stoppable

app = typer.Typer(
    name="acclimate",
    help="Adapt a segmentation model trained on labelled SOURCE images to unlabelled TARGET images.\n\n"
    "Data is named KIND:PATH, for instance gta5:/data/GTA5, camvid:/data/CamVid, folder:/data/mine/dataset.yaml, or "
    "scenes:camera for the built-in street scenes. Begin with `acclimate demo --quick`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Output = Annotated[Path, typer.Option("-o", "--output", help="folder to write to")]
Seeds = Annotated[str, typer.Option("--seeds", help="comma-separated seeds, one run each: 0 or 0,1,2")]
Set = Annotated[
    Optional[list[str]],  # noqa: UP045  (typer reads annotations at run time on Python 3.10)
    typer.Option("--set", help="override a key of the recipe, e.g. --set training.steps=400 (repeatable)"),
]
Inference = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", help="a key of the inference, e.g. --set flip=true --set 'scales=[0.75, 1.0]' (repeatable)"),
]
Spec = Annotated[str, typer.Option("--data", help="the data set, KIND:PATH")]


class Listing(str, Enum):
    """What ``list`` can list."""

    recipes = "recipes"
    methods = "methods"
    networks = "networks"
    datasets = "datasets"
    protocols = "protocols"
    suites = "suites"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(f"acclimate {metadata.version('acclimate')}")
        raise typer.Exit


@app.callback()
def everywhere(
    networks: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--network", help="python:package.module:factory, code that checkpoints may name (repeatable)"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="say which version this is", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Unsupervised domain adaptation for semantic segmentation."""
    if networks:
        from acclimate.models.wrapped import allow_code

        for name in networks:
            allow_code(name)


@app.command()
def demo(
    output: Output = Path("runs/demo"),
    seeds: Seeds = "0",
    quick: Annotated[bool, typer.Option("--quick", help="a minute instead of ten; the numbers mean little")] = False,
    target: Annotated[str, typer.Option("--target", help="another look: scenes:dusk, scenes:fog, scenes:rain")] = "",
    overrides: Set = None,
) -> None:
    """Adapt built-in renders to built-in camera pictures: source-only, adabn, minent, advent and oracle."""
    from acclimate.cli.runs import run_command

    recipe = "demo-quick" if quick else "demo"
    run_command(recipe, output=output, seeds=seeds, target=target or None, overrides=overrides or [])


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (`acclimate list recipes`) or a YAML file")],
    source: Annotated[Optional[str], typer.Option("--source", help="labelled source, KIND:PATH")] = None,  # noqa: UP045
    target: Annotated[Optional[str], typer.Option("--target", help="unlabelled target, KIND:PATH")] = None,  # noqa: UP045
    output: Output = Path("runs/run"),
    seeds: Seeds = "0",
    store: Annotated[Optional[Path], typer.Option("--store", help="finished stages (default: beside -o)")] = None,  # noqa: UP045
    overrides: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved recipe and stop")] = False,
) -> None:
    """Run a recipe. The same command again goes on where it stopped and reuses what is finished."""
    from acclimate.cli.runs import run_command

    run_command(
        recipe,
        output=output,
        seeds=seeds,
        source=source,
        target=target,
        store=store,
        overrides=overrides or [],
        dry_run=dry_run,
    )


@app.command()
def bench(
    suite: Annotated[str, typer.Argument(help="a suite's name (`acclimate list suites`) or a YAML file")],
    source: Annotated[str | None, typer.Option("--source", help="labelled source of every recipe, KIND:PATH")] = None,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--target", help="unlabelled target of every recipe, KIND:PATH"),
    ] = None,
    output: Output = Path("runs/bench"),
    seeds: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--seeds", help="comma-separated seeds in place of the suite's own"),
    ] = None,
    store: Annotated[Optional[Path], typer.Option("--store", help="finished stages (default: in -o)")] = None,  # noqa: UP045
    overrides: Set = None,
    only: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--only", help="only entries of that name, such as 'gta5-*' (repeatable)"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would run and what is done, and stop")] = False,
) -> None:
    """Run a suite of recipes and seeds and compare all rows. The same command again runs what is missing."""
    from acclimate.cli.runs import bench_command

    bench_command(
        suite,
        output=output,
        seeds=seeds,
        source=source,
        target=target,
        store=store,
        overrides=overrides or [],
        only=only or [],
        dry_run=dry_run,
    )


@app.command()
def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="models or folders of runs; several are averaged")],
    data: Spec,
    split: Annotated[str, typer.Option("--split")] = "val",
    protocol: Annotated[Optional[str], typer.Option("--protocol", help="`acclimate list protocols`")] = None,  # noqa: UP045
    json: Annotated[Optional[Path], typer.Option("--json", help="also write the scores to this file")] = None,  # noqa: UP045
    inference: Inference = None,
) -> None:
    """Score checkpoints on a labelled set."""
    from acclimate.cli.models import evaluate_command

    evaluate_command(checkpoints, data=data, split=split, protocol_name=protocol, json=json, inference=inference or [])


@app.command()
def predict(
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
        Optional[float],  # noqa: UP045
        typer.Option("--seconds", min=0.0, help="of videos and cameras: stop after so many"),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="images of one size at once: faster on a GPU")] = 1,
    device: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)"),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="cityscapes: label ids, named as the official evaluation wants them")
    ] = "train-ids",
    inference: Inference = None,
) -> None:
    """Write label maps (8-bit PNG of train ids, coloured by palette) of images and folders; of videos, videos."""
    from acclimate.cli.predict import predict_command

    asked = {"colours": colours, "overlay": overlay, "confidence": confidence, "entropy": entropy}
    predict_command(
        checkpoint,
        images,
        output=output,
        kinds=[kind for kind, wanted in asked.items() if wanted],
        label_format=format_,
        frames=frames,
        seconds=seconds,
        batch=batch,
        device=device,
        inference=inference or [],
    )


@app.command()
def label(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors, or the folder of a run")],
    data: Spec,
    output: Output = Path("labels"),
    split: Annotated[str, typer.Option("--split")] = "train",
    overrides: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", help="a key of the selection, e.g. --set confidence=softmax --set cap=0.9"),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="print kept and error shares for several floors; no labels")
    ] = False,
    scores_on_disk: Annotated[
        float,
        typer.Option("--scores-on-disk", min=0, help="gigabytes, for a while, so that the model sees each image once"),
    ] = 16.0,
) -> None:
    """Turn a model and unlabelled images into pseudo-labels. The same command again goes on where it stopped."""
    from acclimate.cli.data import label_command

    label_command(
        checkpoint,
        data=data,
        split=split,
        output=output,
        overrides=overrides or [],
        sweep=sweep,
        scores_on_disk=scores_on_disk,
    )


@app.command()
def translate(
    source: Annotated[str, typer.Option("--source", help="images to translate, KIND:PATH")],
    target: Annotated[str, typer.Option("--target", help="images of the look wanted, KIND:PATH")],
    output: Output = Path("translated"),
    translator: Annotated[str, typer.Option("--translator", help="cyclegan, histogram or mean-std")] = "cyclegan",
    perceptual: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--perceptual", help="model.safetensors that says what must not change"),
    ] = None,
    source_split: Annotated[str, typer.Option("--source-split")] = "train",
    target_split: Annotated[str, typer.Option("--target-split")] = "train",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    overrides: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", help="options.KEY, training.KEY or writing.KEY=VALUE (repeatable)"),
    ] = None,
) -> None:
    """Write the source's images in the target's look, with labels. The same command again goes on where it stopped."""
    from acclimate.cli.data import translate_command

    translate_command(
        source=source,
        target=target,
        source_split=source_split,
        target_split=target_split,
        output=output,
        translator=translator,
        perceptual=perceptual,
        seed=seed,
        overrides=overrides or [],
    )


@app.command()
def check(
    data: Annotated[str, typer.Argument(metavar="SPEC", help="the data set, KIND:PATH")],
    split: Annotated[Optional[str], typer.Option("--split", help="only this split")] = None,  # noqa: UP045
    class_space: Annotated[Optional[str], typer.Option("--class-space")] = None,  # noqa: UP045
) -> None:
    """List every problem of a data set, with file names, before an hour is lost. Exit status 2 if there is one."""
    from acclimate.cli.data import check_command

    check_command(data, split=split, class_space=class_space)


@app.command()
def stats(
    data: Annotated[str, typer.Argument(metavar="SPEC", help="the data set, KIND:PATH")],
    split: Annotated[str, typer.Option("--split")] = "train",
    class_space: Annotated[Optional[str], typer.Option("--class-space")] = None,  # noqa: UP045
    spatial_priors: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--spatial-priors", help="also count where each class lies, and draw it to this PNG"),
    ] = None,
    store: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--store", help="a run's finished stages: what is counted is kept there, where the run looks"),
    ] = None,
) -> None:
    """Class frequencies and image sizes of a labelled set; they feed the class-ratio prior."""
    from acclimate.cli.data import stats_command

    stats_command(data, split=split, class_space=class_space, spatial_priors=spatial_priors, store=store)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="run folders")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the page to write")] = Path("report.html"),
    published: Annotated[
        bool,
        typer.Option("--published", help="also print, and show, published numbers beside ours, cited systems below"),
    ] = False,
) -> None:
    """Write one self-contained page that compares runs."""
    from acclimate.cli.runs import report_command

    report_command(runs, output=output, published=published)


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="a published checkpoint: .pth, .params, or safetensors with the same keys")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write")] = Path("model.safetensors"),
    layout: Annotated[
        str, typer.Option("--layout", help="auto, adaptsegnet, advent, bdl, fada, cbst, initial-weights")
    ] = "auto",
    branches: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--branches", help="branches of the heads that are summed, 2 or 4 (default: told by the values)"),
    ] = None,
    class_space: Annotated[Optional[str], typer.Option("--class-space", help="default: by number of classes")] = None,  # noqa: UP045
    input_size: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--input-size", help="WIDTHxHEIGHT, or native (default: at which the authors evaluate)"),
    ] = None,
) -> None:
    """Turn weights that authors published into a checkpoint, without running anything in the file."""
    from acclimate.cli.models import import_command

    import_command(
        file, output=output, layout=layout, branches=branches, class_space=class_space, input_size=input_size
    )


@app.command("export")
def export_(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors, or the folder of a run")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write: .onnx or .pt2")] = Path(
        "model.onnx"
    ),
    enlarge: Annotated[bool, typer.Option("--enlarge", help="logits at the images' size, not at the stride")] = False,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="largest difference allowed, relative to the largest logit")
    ] = 1e-4,
) -> None:
    """Write a model for other programs, preprocessing included, and compare it with ours first."""
    from acclimate.cli.models import export_command

    export_command(checkpoint, output=output, enlarge=enlarge, tolerance=tolerance)


@app.command()
def clean(
    folders: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(help="folders that runs are in (default: runs)"),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="also stages that are begun and not finished")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False,
) -> None:
    """List caches and stages that no run leads to any more, with their sizes, and remove them if you say so."""
    from acclimate.cli.clean import clean_command

    clean_command(folders or [], unfinished=unfinished, yes=yes)


@app.command("list")
def list_(what: Annotated[Listing, typer.Argument(help="what to list")]) -> None:
    """List what ships: recipes, methods, networks, datasets, protocols or suites."""
    from acclimate.cli.listing import list_command

    list_command(what.value)


def main() -> None:
    """The entry point: user errors exit with 2 and one message, interruption with 130, our faults with a traceback."""
    import warnings

    from acclimate.io.faults import machine_fault
    from acclimate.io.terminal import guard_terminal

    guard_terminal()
    warnings.filterwarnings("ignore", module="lightning_fabric")
    try:
        with stoppable():
            app()
    except (Interrupted, KeyboardInterrupt) as error:
        _say(f"interrupted: {error}; run the same command again to go on".replace(": ;", ";"))
        sys.exit(INTERRUPTED)
    except Exception as error:
        told = error if isinstance(error, UserError) else machine_fault(error)
        if told is None:
            raise
        _say(f"error: {told}")
        sys.exit(2)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
