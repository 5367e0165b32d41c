"""The commands that look at data, or make some: check, stats, label, translate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli.options import Output, Processes, Spec, Task
from acclimate.errors import UserError
from acclimate.io.files import user_cache


def check_command(
    data: Annotated[str, typer.Argument(metavar="SPEC", help="the data set, KIND:PATH")],
    split: Annotated[str | None, typer.Option("--split", help="only this split")] = None,
    class_space: Annotated[str | None, typer.Option("--class-space")] = None,
    task: Task = None,
) -> None:
    """List every problem of a data set, with file names, before an hour is lost. Exit status 2 if there is one."""
    from acclimate.data.check import check
    from acclimate.tasks import check_boxes, task_of_data

    if task_of_data(data, task) == "detection":
        _refuse_for_boxes(data, {"--class-space": class_space})
        report = check_boxes(data, split=split)
    else:
        report = check(data, split=split, class_space=class_space)
    print(report.summary())
    if report.problems:
        raise UserError(f"{data} has {len(report.problems)} problem{'s' * (len(report.problems) > 1)}, listed above")


def stats_command(
    data: Annotated[str, typer.Argument(metavar="SPEC", help="the data set, KIND:PATH")],
    split: Annotated[str, typer.Option("--split")] = "train",
    class_space: Annotated[str | None, typer.Option("--class-space")] = None,
    spatial_priors: Annotated[
        Path | None,
        typer.Option("--spatial-priors", help="also count where each class lies, and draw it to this PNG"),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="a run's finished stages: what is counted is kept there, where the run looks"),
    ] = None,
    task: Task = None,
) -> None:
    """Class frequencies and image sizes of a labelled set; they feed the class-ratio prior. Of boxes, their sizes."""
    from acclimate.data.places import places_read
    from acclimate.data.registry import open_dataset
    from acclimate.data.spatial_prior import spatial_prior
    from acclimate.data.stats import stats
    from acclimate.io.outputs import claim_file, claim_folder
    from acclimate.report.spatial_priors import write_prior_picture
    from acclimate.tasks import box_stats, open_boxes, task_of_data

    if task_of_data(data, task) == "detection":
        only = {"--class-space": class_space, "--spatial-priors": spatial_priors, "--store": store}
        _refuse_for_boxes(data, only)
        print(box_stats(open_boxes(data, split=split)).table())
        return
    if spatial_priors is not None and spatial_priors.suffix.lower() != ".png":
        raise UserError(f"--spatial-priors draws a PNG; name it so: {spatial_priors.with_suffix('.png')}")
    cache = user_cache() if store is None else store / "cache"
    dataset = open_dataset(data, split=split, class_space=class_space)
    if store is not None:
        claim_folder(store, "store", reads=places_read(dataset))
    if spatial_priors is not None:
        claim_file(spatial_priors, "picture", reads=places_read(dataset))
    print(stats(dataset, cache).table())
    if spatial_priors is not None:
        prior = spatial_prior(dataset, cache)
        write_prior_picture(spatial_priors, prior, dataset.class_space.classes)
        print(f"spatial priors: {spatial_priors}")


def _refuse_for_boxes(data: str, given: Mapping[str, object]) -> None:
    """Options that are about label maps, of a set with boxes."""
    if flags := [flag for flag, value in given.items() if value is not None]:
        raise UserError(f"{data} is looked at as boxes, and {' and '.join(flags)} is about label maps; leave it out")


def label_command(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors, or the folder of a run")],
    data: Spec,
    output: Output = Path("labels"),
    split: Annotated[str, typer.Option("--split")] = "train",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="a key of the selection, e.g. --set confidence=softmax --set cap=0.9"),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="print kept and error shares for several floors; no labels")
    ] = False,
    scores_on_disk: Annotated[
        float,
        typer.Option("--scores-on-disk", min=0, help="gigabytes, for a while, so that the model sees each image once"),
    ] = 16.0,
    processes: Processes = 1,
) -> None:
    """Turn a model and unlabelled images into pseudo-labels. The same command again goes on where it stopped."""
    from acclimate.cli.predict import checkpoint_named
    from acclimate.cli.several import in_several_processes
    from acclimate.data.places import places_read
    from acclimate.data.registry import open_dataset
    from acclimate.evaluation.inference import Inference
    from acclimate.io.outputs import claim_folder
    from acclimate.models.checkpoint import read_card
    from acclimate.pseudo.thresholds import Selection
    from acclimate.recipe.load import parse_override, validated
    from acclimate.stages.label import LabelRequest, label, label_summary, sweep_table
    from acclimate.stages.train import launched_team
    from acclimate.tasks import is_detector, label_with_detector

    checkpoint = checkpoint_named(checkpoint)
    chosen = dict(parse_override(text) for text in overrides or ())
    detector = is_detector(checkpoint)
    if detector and sweep:
        raise UserError(f"{checkpoint} is a detector, and --sweep compares floors of label maps; leave it out")
    in_several_processes(processes)
    team = launched_team()
    if detector:
        told = label_with_detector(checkpoint, data=data, split=split, selection=chosen, output=output, team=team)
        if team.first:
            print(told)
        return
    card = read_card(checkpoint)
    space = card.space()
    selection = validated(Selection, chosen, "the selection")
    request = LabelRequest(
        checkpoints=(checkpoint,),
        data=open_dataset(data, split=split, class_space=space),
        class_space=space,
        selection=selection,
        inference=Inference(size=card.input_size),
        scores_on_disk=scores_on_disk,
        title="label",
    )
    if sweep:
        table = sweep_table(request, device=team.device, team=team)
        if team.first:
            print(table)
        return
    if team.first:
        claim_folder(output, "label", reads=[checkpoint, *places_read(request.data)])
    label(request, folder=output, device=team.device, team=team)
    if team.first:
        print(label_summary(output))


def translate_command(
    source: Annotated[str, typer.Option("--source", help="images to translate, KIND:PATH")],
    target: Annotated[str, typer.Option("--target", help="images of the look wanted, KIND:PATH")],
    output: Output = Path("translated"),
    translator: Annotated[str, typer.Option("--translator", help="cyclegan, histogram or mean-std")] = "cyclegan",
    perceptual: Annotated[
        Path | None,
        typer.Option("--perceptual", help="model.safetensors, or a run, that says what must not change"),
    ] = None,
    source_split: Annotated[str, typer.Option("--source-split")] = "train",
    target_split: Annotated[str, typer.Option("--target-split")] = "train",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="options.KEY, training.KEY or writing.KEY=VALUE (repeatable)"),
    ] = None,
    processes: Processes = 1,
) -> None:
    """Write the source's images in the target's look, with labels. The same command again goes on where it stopped."""
    from acclimate.cli.predict import checkpoint_named
    from acclimate.cli.several import in_several_processes
    from acclimate.data.places import places_read
    from acclimate.data.registry import open_dataset
    from acclimate.data.wrappers import TRANSLATION
    from acclimate.errors import unknown
    from acclimate.io.checksums import read_verified_json
    from acclimate.io.outputs import claim_folder
    from acclimate.recipe.load import TranslateStage, TranslationDefaults, parse_override, validated
    from acclimate.recipe.text import set_key
    from acclimate.stages.train import launched_fabric
    from acclimate.stages.translate import TranslateRequest, translate, write_labels
    from acclimate.training.checkpoint import Checkpoints
    from acclimate.translation.settings import TRANSLATORS, CycleGanOptions, TranslationTraining, Writing

    in_several_processes(processes)
    if translator not in TRANSLATORS:
        raise unknown("translator", translator, TRANSLATORS)
    values: dict[str, Any] = {}
    for text in overrides or ():
        set_key(values, *parse_override(text))
    given = validated(TranslationDefaults, values, "the translation")
    stage = TranslateStage(translate=translator)
    training = validated(TranslationTraining, given.training, "training")
    perceptual = None if perceptual is None else checkpoint_named(perceptual)
    fabric = launched_fabric(training.precision)
    labelled = open_dataset(source, split=source_split)
    request = TranslateRequest(
        translator=stage.translate,
        options=validated(CycleGanOptions, given.options, "options"),
        training=training,
        writing=validated(Writing, given.writing, "writing"),
        source=labelled,
        target=open_dataset(target, split=target_split),
        perceptual=perceptual,
        seed=seed,
    )
    if fabric.is_global_zero:
        reads = places_read(request.source, request.target)
        claim_folder(output, "translate", reads=[*reads, perceptual] if perceptual else reads)
    translate(request, folder=output, cache=user_cache(), fabric=fabric)
    if fabric.is_global_zero:
        write_labels(labelled, output)
        Checkpoints(output).clear()
        distances = read_verified_json(output / TRANSLATION)["wasserstein"]
        print("Wasserstein distance to the target in grey levels, red green blue:")
        for when in ("before", "after"):
            print(f"  {when:6}  " + "  ".join(f"{value:6.2f}" for value in distances[when]))
        print(f"images and labels: folder:{output / 'dataset.yaml'}", file=sys.stderr)
