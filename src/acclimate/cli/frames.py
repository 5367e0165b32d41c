"""The command that makes a data set of videos: `acclimate frames`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.options import Output


def frames_command(
    videos: Annotated[list[Path], typer.Argument(help="video files")],
    output: Output = Path("footage"),
    every: Annotated[float, typer.Option("--every", min=0.0, help="seconds from picture to picture; 0: all")] = 1.0,
    most: Annotated[int | None, typer.Option("--most", min=1, help="pictures of each video at most")] = None,
) -> None:
    """Cut pictures from videos into a folder with a dataset.yaml, so that they can be a target."""
    from acclimate.stages.frames import cut_frames

    count = cut_frames(videos, output=output, every=every, most=most)
    print(f"{count} pictures: folder:{output}")
