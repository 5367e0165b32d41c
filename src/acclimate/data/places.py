"""Which files and folders a data set is read from: what no output may be written into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acclimate.data.readers.archives import ArchivePath
from acclimate.data.sample import ImageSet


def places_read(*sets: ImageSet | None) -> list[Path]:
    """The folders that hold the sets' images and annotations, the archives, and the descriptions, each once.

    Args:
        sets: of any task; None stands for a set that is not there.
    """
    found: dict[Path, None] = {}
    for each in sets:
        if each is not None:
            found.update(dict.fromkeys(_places(each)))
    return list(found)


def _places(dataset: Any) -> Iterator[Path]:
    if (inner := getattr(dataset, "dataset", None)) is not None:  # a part of it, or with other images or labels
        yield from _places(inner)
    if (folder := getattr(dataset, "folder", None)) is not None:
        yield folder
    items = getattr(getattr(dataset, "listing", dataset), "items", ())
    known: set[tuple[Path, int]] = set()
    for item in items:
        for file in (item.image, getattr(item, "label", None), getattr(item, "annotation", None)):
            if isinstance(file, ArchivePath):
                yield from file.archives.paths
                break
            # a name is the path below the folder that was searched
            depth = item.name.count("/") if file is item.image else 0
            if file is not None and (file.parent, depth) not in known:
                known.add((file.parent, depth))
                parents = file.parents
                yield parents[min(depth, len(parents) - 1)]
    path = Path(dataset.spec.partition(":")[2])
    if path.is_file():
        yield path
