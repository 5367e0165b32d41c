"""What the commands of the command line do, in Python; results go to stdout, progress to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.errors import UserError


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
    checkpoints: Sequence[Path], *, data: str, split: str, protocol_name: str | None, json: Path | None
) -> None:
    """Scores one checkpoint, or several as an ensemble, and prints the table."""
    from acclimate.data.registry import open_dataset
    from acclimate.evaluation.scores import write_results
    from acclimate.models.checkpoint import read_card
    from acclimate.pipeline import protocol_and_classes
    from acclimate.report.terminal import print_results
    from acclimate.stages.evaluate import EvaluateRequest, evaluate

    card = read_card(checkpoints[0])
    protocol, space = protocol_and_classes(protocol_name, data)
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
    )
    row = evaluate(request, folder=None, title="evaluate", device=default_device())
    row = row.model_copy(update={"checkpoint": " + ".join(str(path) for path in checkpoints)})
    print_results([row])
    if json is not None:
        write_results(json, [row])


def predict_command(checkpoint: Path, images: Sequence[Path], *, output: Path, entropy: bool, overlay: bool) -> None:
    """Writes label maps for images and folders of images, and prints where each went."""
    from acclimate.stages.predict import predict_images

    for path in predict_images(
        checkpoint, images, output=output, entropy=entropy, overlay=overlay, device=default_device()
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


def stats_command(data: str, *, split: str, class_space: str | None) -> None:
    """Prints class frequencies and image sizes."""
    from acclimate.data.registry import open_dataset
    from acclimate.data.stats import stats

    dataset = open_dataset(data, split=split, class_space=class_space)
    print(stats(dataset, user_cache()).table())


def list_command(what: str) -> None:
    """Prints the names of what ships, a line each."""
    for name, description in listing(what):
        print(f"{name:28} {description}".rstrip())


def listing(what: str) -> list[tuple[str, str]]:
    """(name, one-line description) of every recipe, method, network, data set kind or protocol."""
    if what == "recipes":
        from acclimate.recipe import load_recipe, recipe_names

        return [(name, load_recipe(name)[0].about) for name in recipe_names()]
    if what == "methods":
        from acclimate.methods import METHODS

        return [(name, method.summary) for name, method in METHODS.items()]
    if what == "networks":
        from acclimate.models.registry import NETWORKS

        return [(name, entry.description) for name, entry in NETWORKS.items()]
    if what == "datasets":
        from acclimate.data.registry import dataset_kinds

        return list(dataset_kinds().items())
    from acclimate.evaluation.protocols import PROTOCOLS

    return [(name, protocol.description) for name, protocol in PROTOCOLS.items()]


def default_device() -> str:
    """The GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def user_cache() -> Path:
    """Where single commands keep what they computed: ``$XDG_CACHE_HOME/acclimate`` or ``~/.cache/acclimate``."""

    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acclimate"
