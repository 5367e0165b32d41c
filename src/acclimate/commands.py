"""What the commands of the command line do, in Python; results go to stdout, progress to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acclimate.errors import UserError

if TYPE_CHECKING:
    from acclimate.evaluation.inference import Inference
    from acclimate.evaluation.scores import Row


def run_command(
    recipe: str,
    *,
    output: Path,
    seeds: str,
    source: str | None = None,
    target: str | None = None,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
) -> None:
    """Runs a recipe and prints its table."""
    from acclimate.pipeline import Run, run
    from acclimate.recipe import explained, load_recipe, parse_override
    from acclimate.report.terminal import print_results

    values: dict[str, Any] = dict(parse_override(text) for text in overrides)
    for key, spec in (("source", source), ("target", target)):
        if spec is not None:
            values[key] = spec
    loaded, origins = load_recipe(recipe, overrides=values)
    for key, spec in (("source", source), ("target", target)):
        if spec is not None:
            origins[key] = f"--{key}"
    if dry_run:
        print(explained(loaded, origins), end="")
        return
    rows = run(loaded, Run(output=output, seeds=parse_seeds(seeds), store=store), origins=origins)
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes, the first one tells
    if rows:
        print_results(rows)
    print(f"scores: {output / 'results.json'}\npage:   {output / 'report.html'}", file=sys.stderr)


def bench_command(
    suite: str,
    *,
    output: Path,
    seeds: str | None = None,
    source: str | None = None,
    target: str | None = None,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    only: str | None = None,
    dry_run: bool = False,
) -> None:
    """Runs a suite and prints its tables, or with ``dry_run`` what it would run."""
    from acclimate.bench.running import plan_lines, run_suite, view_of
    from acclimate.bench.suite import only as only_entries
    from acclimate.bench.suite import plan
    from acclimate.recipe import parse_override
    from acclimate.report.suite_terminal import print_suite

    values: dict[str, Any] = dict(parse_override(text) for text in overrides)
    values.update({key: spec for key, spec in (("source", source), ("target", target)) if spec is not None})
    planned = plan(suite, seeds=None if seeds is None else parse_seeds(seeds), overrides=values)
    if only is not None:
        planned = only_entries(planned, only)
    if dry_run:
        print("\n".join(plan_lines(planned, output)))
        return
    failures = run_suite(planned, output=output, store=store)
    if os.environ.get("RANK", "0") == "0":
        print_suite(view_of(planned, output, failures))
        print(f"scores: {output / 'results.json'}\npage:   {output / 'report.html'}", file=sys.stderr)
    if failures:
        raise UserError(
            f"{len(failures)} of {len(planned.jobs)} runs of suite {planned.suite.name} failed; what the others gave "
            "is kept, and the same command runs these again:\n  " + "\n  ".join(map(str, failures))
        )


def parse_seeds(text: str) -> list[int]:
    """``0,1,2`` as numbers.

    Raises:
        UserError: something is not a whole number, or a seed appears twice.
    """
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds takes whole numbers separated by commas, such as 0,1,2; got {text!r}") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds takes different numbers from 0 up, got {text!r}")
    return seeds


def evaluate_command(
    checkpoints: Sequence[Path],
    *,
    data: str,
    split: str,
    protocol_name: str | None,
    json: Path | None,
    inference: Sequence[str] = (),
) -> None:
    """Scores one checkpoint, or several as an ensemble, and prints the table."""
    from acclimate.data.registry import open_dataset
    from acclimate.detection.checkpoint import is_detector
    from acclimate.evaluation.scores import write_results
    from acclimate.models.checkpoint import read_card
    from acclimate.report.terminal import print_results
    from acclimate.sets import protocol_and_classes
    from acclimate.stages.evaluate import EvaluateRequest, evaluate

    if is_detector(checkpoints[0]):
        row = _evaluated_detector(checkpoints, data=data, split=split, protocol_name=protocol_name)
        print_results([row])
        if json is not None:
            write_results(json, [row])
        return
    card = read_card(checkpoints[0])
    protocol, space = protocol_and_classes(protocol_name, data)
    choices = inference_of(inference)
    protocol = choices.applied(protocol)
    request = EvaluateRequest(
        name=" + ".join(str(path.parent.name or path.stem) for path in checkpoints),
        method=card.method or "",
        seed=card.seed or 0,
        checkpoints=checkpoints,
        weights=None,
        data=open_dataset(data, split=split, class_space=space),
        protocol=protocol,
        class_space=space,
        input_size=card.input_size,
        pictured={},
        pictures=0,
        inference=choices.chosen(),
    )
    row = evaluate(request, folder=None, title="evaluate", device=default_device())
    row = row.model_copy(update={"checkpoint": " + ".join(str(path) for path in checkpoints)})
    print_results([row])
    if json is not None:
        write_results(json, [row])


def _evaluated_detector(checkpoints: Sequence[Path], *, data: str, split: str, protocol_name: str | None) -> Row:
    from acclimate.detection.checkpoint import load_detector
    from acclimate.detection.evaluate import DetectionEvaluateRequest, evaluate_detections
    from acclimate.detection.protocols import detection_protocol
    from acclimate.detection.registry import open_boxes

    if len(checkpoints) > 1:
        raise UserError("detectors are scored one by one; give one checkpoint")
    path = checkpoints[0]
    _, card = load_detector(path)
    request = DetectionEvaluateRequest(
        name=str(path.parent.name or path.stem),
        method=card.method or "",
        seed=card.seed or 0,
        checkpoint=path,
        data=open_boxes(data, split=split, class_space=card.space()),
        protocol=detection_protocol(protocol_name),
        class_space=card.space(),
        pictured={},
        pictures=0,
    )
    row = evaluate_detections(request, folder=None, title="evaluate", device=default_device())
    return row.model_copy(update={"checkpoint": str(path)})


def inference_of(overrides: Sequence[str]) -> Inference:
    """``KEY=VALUE`` of the inference.

    Raises:
        UserError: a key is unknown or a value out of range.
    """
    from acclimate.evaluation.inference import Inference
    from acclimate.recipe import parse_override, validated

    return validated(Inference, dict(parse_override(text) for text in overrides), "the inference")


def predict_command(
    checkpoint: Path,
    images: Sequence[Path],
    *,
    output: Path,
    entropy: bool,
    overlay: bool,
    label_format: str = "train-ids",
    inference: Sequence[str] = (),
) -> None:
    """Writes label maps for images and folders of images, and prints where each went."""
    from acclimate.detection.checkpoint import is_detector
    from acclimate.stages.predict import predict_detections, predict_images

    if is_detector(checkpoint):
        if entropy or overlay:
            raise UserError(f"{checkpoint} is a detector, which draws boxes: leave out --entropy and --overlay")
        for path in predict_detections(checkpoint, images, output=output, device=default_device()):
            print(path)
        return
    for path in predict_images(
        checkpoint,
        images,
        output=output,
        entropy=entropy,
        overlay=overlay,
        device=default_device(),
        label_format=label_format,
        inference=inference_of(inference),
    ):
        print(path)


def label_command(
    checkpoint: Path, *, data: str, split: str, output: Path, overrides: Sequence[str], sweep: bool
) -> None:
    """Writes pseudo-labels, or prints the sweep of thresholds."""
    from acclimate.data.registry import open_dataset
    from acclimate.models.checkpoint import read_card
    from acclimate.pseudo.thresholds import Selection
    from acclimate.recipe import parse_override, validated
    from acclimate.stages.evaluate import class_space_of
    from acclimate.stages.label import LabelRequest, label, label_summary, sweep_table

    card = read_card(checkpoint)
    space = class_space_of(card)
    selection = validated(Selection, dict(parse_override(text) for text in overrides), "the selection")
    request = LabelRequest(
        checkpoint=checkpoint,
        data=open_dataset(data, split=split, class_space=space),
        class_space=space,
        selection=selection,
        input_size=card.input_size,
        batch_size=1,
        title="label",
    )
    if sweep:
        print(sweep_table(request, device=default_device()))
        return
    label(request, folder=output, device=default_device())
    print(label_summary(output))


def translate_command(
    *,
    source: str,
    target: str,
    source_split: str,
    target_split: str,
    output: Path,
    translator: str,
    perceptual: Path | None,
    seed: int,
    overrides: Sequence[str],
) -> None:
    """Trains a translator and writes the source's images in the target's look, with labels and a ``dataset.yaml``."""
    from acclimate.data.registry import open_dataset
    from acclimate.data.wrappers import TRANSLATION
    from acclimate.errors import unknown
    from acclimate.files import read_json
    from acclimate.recipe import TranslateStage, TranslationDefaults, parse_override, validated
    from acclimate.recipe_text import set_key
    from acclimate.stages.train import launched_fabric
    from acclimate.stages.translate import TranslateRequest, translate, write_labels
    from acclimate.training.checkpoint import Checkpoints
    from acclimate.translation.settings import TRANSLATORS, CycleGanOptions, TranslationTraining, Writing

    if translator not in TRANSLATORS:
        raise unknown("translator", translator, TRANSLATORS)
    values: dict[str, Any] = {}
    for text in overrides:
        set_key(values, *parse_override(text))
    given = validated(TranslationDefaults, values, "the translation")
    stage = TranslateStage(translate=translator)
    training = validated(TranslationTraining, given.training, "training")
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
    translate(request, folder=output, cache=user_cache(), fabric=fabric)
    if fabric.is_global_zero:
        write_labels(labelled, output)
        Checkpoints(output).clear()
        distances = read_json(output / TRANSLATION)["wasserstein"]
        print("Wasserstein distance to the target in grey levels, red green blue:")
        for when in ("before", "after"):
            print(f"  {when:6}  " + "  ".join(f"{value:6.2f}" for value in distances[when]))
        print(f"images and labels: folder:{output / 'dataset.yaml'}", file=sys.stderr)


def check_command(data: str, *, split: str | None, class_space: str | None) -> None:
    """Prints every problem of a data set.

    Raises:
        UserError: there is at least one.
    """
    from acclimate.data.check import check

    report = check(data, split=split, class_space=class_space)
    print(report.summary())
    if report.problems:
        raise UserError(f"{data} has {len(report.problems)} problem{'s' * (len(report.problems) > 1)}, listed above")


def stats_command(
    data: str, *, split: str, class_space: str | None, spatial_priors: Path | None, store: Path | None
) -> None:
    """Prints class frequencies and image sizes; counts and draws spatial priors where a picture is asked for."""
    from acclimate.data.registry import open_dataset
    from acclimate.data.spatial_prior import spatial_prior
    from acclimate.data.stats import stats
    from acclimate.report.spatial_priors import write_prior_picture

    if spatial_priors is not None and spatial_priors.suffix.lower() != ".png":
        raise UserError(f"--spatial-priors draws a PNG; name it so: {spatial_priors.with_suffix('.png')}")
    cache = user_cache() if store is None else store / "cache"
    dataset = open_dataset(data, split=split, class_space=class_space)
    print(stats(dataset, cache).table())
    if spatial_priors is not None:
        prior = spatial_prior(dataset, cache)
        write_prior_picture(spatial_priors, prior, dataset.class_space.classes)
        print(f"spatial priors: {spatial_priors}")


def import_command(
    file: Path, *, output: Path, layout: str, branches: int | None, class_space: str | None, input_size: str
) -> None:
    """Imports published weights and prints what they were taken for."""
    from acclimate.exchange.importing import import_weights

    if branches not in (None, 2, 4):
        raise UserError(f"--branches is 2 or 4, not {branches}: published heads sum the first two branches or all four")
    imported = import_weights(
        file, output, layout=layout, branches=branches, space=class_space, input_size=_size(input_size)
    )
    print(imported.summary())


def export_command(checkpoint: Path, *, output: Path, enlarge: bool, tolerance: float) -> None:
    """Exports a model and prints how far it is from ours."""
    from acclimate.exchange.exporting import export_network

    if not 0 <= tolerance < 1:
        raise UserError(f"--tolerance is a share of the largest logit, from 0 to below 1, not {tolerance:g}")
    comparisons = export_network(checkpoint, output, enlarge=enlarge, tolerance=tolerance)
    for comparison in comparisons:
        batch, height, width = comparison.shape
        print(
            f"{batch} image{'s' * (batch > 1)} of {width}x{height}: largest difference {comparison.difference:.1e} "
            f"(largest logit {comparison.largest:.3g})"
        )
    print(f"written to {output}")


def _size(text: str) -> tuple[int, int] | None:
    """``1024x512`` as (width, height) in pixels; ``native`` is None."""
    if text == "native":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 1):
        raise UserError(f"--input-size takes WIDTHxHEIGHT in pixels, such as 1024x512, or 'native'; got {text!r}")
    return int(width), int(height)


def list_command(what: str) -> None:
    """Prints the names of what ships, a line each."""
    for name, description in listing(what):
        print(f"{name:28} {description}".rstrip())


def listing(what: str) -> list[tuple[str, str]]:
    """(name, one-line description) of every recipe, method, network, data set kind, protocol or suite."""
    if what == "recipes":
        from acclimate.recipe import load_recipe, recipe_names

        return [(name, load_recipe(name)[0].about) for name in recipe_names()]
    if what == "methods":
        from acclimate.detection.methods import DETECTION_METHODS
        from acclimate.methods import METHODS

        return [
            *((name, method.summary) for name, method in METHODS.items()),
            *((f"{name} (detection)", method.summary) for name, method in DETECTION_METHODS.items()),
        ]
    if what == "networks":
        from acclimate.detection.networks import DETECTORS
        from acclimate.models.registry import NETWORKS

        return [*((name, entry.description) for name, entry in NETWORKS.items()), *DETECTORS.items()]
    if what == "datasets":
        from acclimate.data.registry import dataset_kinds
        from acclimate.detection.registry import BOXED_DATASETS

        boxed = ((f"{name} (detection)", kind.description) for name, kind in BOXED_DATASETS.items())
        return [*dataset_kinds().items(), *boxed]
    if what == "suites":
        from acclimate.bench.suite import load_suite, suite_names

        return [(name, load_suite(name)[0].about) for name in suite_names()]
    from acclimate.detection.protocols import DETECTION_PROTOCOLS
    from acclimate.evaluation.protocols import PROTOCOLS

    return [
        *((name, protocol.description) for name, protocol in PROTOCOLS.items()),
        *((name, protocol.description) for name, protocol in DETECTION_PROTOCOLS.items()),
    ]


def default_device() -> str:
    """The GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def user_cache() -> Path:
    """Where single commands keep what they computed: ``$XDG_CACHE_HOME/acclimate`` or ``~/.cache/acclimate``."""

    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acclimate"


def report_command(runs: Sequence[Path], *, output: Path, published: bool) -> None:
    """Writes the page that compares runs; with ``published`` also prints ours, the papers' and cited numbers."""
    from acclimate.report.page import compared_runs, write_report
    from acclimate.report.reading import read_run
    from acclimate.report.terminal import print_comparisons

    write_report(runs, output, cited=published)
    if published:
        print_comparisons(compared_runs([read_run(folder) for folder in runs], cited=True))
    print(output)
