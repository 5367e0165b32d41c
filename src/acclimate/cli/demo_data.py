"""`acclimate demo-data`: the built-in scenes as folders, to try out what is done with one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from acclimate.errors import UserError


def demo_data_command(
    folder: Annotated[Path, typer.Argument(help="a new folder")],
    look: Annotated[str, typer.Option("--look", help="of the target: camera, dusk, fog or rain")] = "camera",
    images: Annotated[int, typer.Option("--images", min=1, help="of each of the two")] = 200,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT")] = "256x128",
) -> None:
    """Write built-in scenes as plain folders: labelled renders, unlabelled footage, frames to score on afterwards."""
    from acclimate.data.scene_folders import SCORED, SOURCE, TARGET, write_scenes
    from acclimate.io.outputs import claim_folder

    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None or min(int(match[1]), int(match[2])) < 16:
        raise UserError(f"--size takes WIDTHxHEIGHT of at least 16x16, such as 256x128; got {size!r}")
    claim_folder(folder, "demo-data")
    write_scenes(folder, look=look, images=images, size=(int(match[1]), int(match[2])))
    for name in (SOURCE, TARGET, SCORED):
        print(folder / name)
