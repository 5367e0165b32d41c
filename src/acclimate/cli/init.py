"""`acclimate init`: the draft of a description for a folder that nobody described."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from acclimate.errors import UserError


def init_command(
    folders: Annotated[list[Path], typer.Argument(help="folders of pictures, with labels or without")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="the file to write (default: dataset.yaml in the folder)")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="names for the ids or colours found, in order: road,sky,car")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the draft and write nothing")] = False,
) -> None:
    """Draft a dataset.yaml: pictures, labels, splits, ids or colours with their shares, names to fill in."""
    from acclimate.data.drafting.draft import draft_of
    from acclimate.data.drafting.names import split_names
    from acclimate.data.readers.description import DESCRIPTION, read_description
    from acclimate.io.files import write_text
    from acclimate.io.outputs import claim_file

    if output is not None and len(folders) > 1:
        raise UserError("-o names one file, but several folders are given; leave it out, or draft them one by one")
    for folder in folders:
        path = output or folder / DESCRIPTION
        draft = draft_of(
            folder,
            names=None if classes is None else split_names(classes),
            elsewhere=output is not None and not dry_run,
        )
        if dry_run:
            print(draft.text, end="")
        else:
            claim_file(path, "draft")
            write_text(path, draft.text)
            read_description(path)
            print(path)
        for remark in draft.remarks:
            print(f"note: {remark}", file=sys.stderr)
        if not dry_run:
            print(f"next: acclimate check folder:{path}", file=sys.stderr)
