"""What programs beside the command line share: faults of the input told as `acclimate` tells them, and counts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.errors import UserError


def run_script(main: Callable[[], None]) -> None:
    """Runs a script's ``main``; where the input is at fault, ends with status 2 and one message.

    A reader that stops reading (``| head``) ends it with status 1 and no word.
    """
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not told at exit either
        sys.exit(1)


def made_by(environment: Mapping[str, Any]) -> str:
    """The code and the machine that rows of results came from."""
    return f"commit {environment.get('commit')}, {environment.get('accelerator') or environment.get('processor')}"


def at_least_one(text: str) -> int:
    """A number from 1 up, as ``type`` of an argument of ``argparse``."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 up, not {text!r}")
    return number


def random_model(
    path: Path, network: Mapping[str, Any], *, classes: Sequence[str], size: tuple[int, int] | None = None
) -> Path:
    """Writes a network with random weights, as a recipe describes it; gives the path back.

    Args:
        path: of the checkpoint.
        network: name and options.
        classes: at most ten, each with a colour of its own.
        size: (width, height) of its input; None: that of the images.
    """
    import torch

    from acclimate.models.checkpoint import ModelCard, save_network
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network

    torch.manual_seed(0)
    built = build_network(NetworkConfig.parse(dict(network)), len(classes))
    colours = tuple((25 * place, 0, 0) for place in range(len(classes)))
    card = ModelCard(
        network=built.config, class_space="letters", classes=tuple(classes), colours=colours, input_size=size
    )
    save_network(path, built, card=card)
    return path
