"""The command that makes room: `acclimate clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_WHAT = {
    "cache": "resized copies, counts and digests, made again when needed",
    "old": "finished, but no run leads to it any more",
    "unfinished": "begun and not finished; the same command would go on from here",
}


def clean_command(
    folders: Annotated[list[Path] | None, typer.Argument(help="folders that runs are in (default: runs)")] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="also stages that are begun and not finished")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False,
) -> None:
    """List caches and stages that no run leads to any more, with their sizes, and remove them if you say so."""
    from acclimate.pipeline.cleaning import removables, remove

    places = folders or [place for place in [Path("runs")] if place.is_dir()]
    found = removables(places)
    chosen = [each for each in found if unfinished or each.kind != "unfinished"]
    kept = [each for each in found if each not in chosen]
    for each in chosen:
        print(f"{in_words(each.size):>9}  {each.place}  ({each.made}; {_WHAT[each.kind]})")
    if kept:
        begun = in_words(sum(each.size for each in kept))
        print(f"kept: {len(kept)} stages that are begun and not finished, {begun} (--unfinished lists them too)")
    if not chosen:
        print("nothing to remove")
        return
    print(f"{in_words(sum(each.size for each in chosen)):>9}  in all")
    if not yes and not _agreed():
        print("nothing removed (--yes removes without asking)")
        return
    print(f"{in_words(remove(chosen))} are free again")


def _agreed() -> bool:
    try:
        return typer.confirm("remove all of this? Runs elsewhere whose --store this is would lose their stages")
    except typer.Abort:
        return False


def in_words(size: int) -> str:
    """Bytes as people say them: ``1.2 GB``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"
