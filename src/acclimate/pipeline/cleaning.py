"""What of acclimate's own can be removed: caches, and stages that no run leads to any more."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from acclimate.errors import UserError
from acclimate.io.files import is_temporary, user_cache
from acclimate.io.outputs import MARK, made_by
from acclimate.pipeline.store import DONE, held

Kind = Literal["cache", "old", "unfinished"]
_STAGE = re.compile(r"[a-z]+-[0-9a-f]{16}")
_CACHED = re.compile(r"[0-9a-f]{16}-(images|labels)\.npy(\..+)?|[0-9a-f]{16}-(stats\.json|(prior|counts)\.safetensors)")
"""What caches hold, beside the digests of files: everything in them can be computed again."""
_DIGESTS = "file-digests.jsonl"


@dataclass(frozen=True)
class Removable:
    """Files or a stage's folder that may go.

    Attributes:
        place: a stage's folder, or the cache's.
        kind: a ``cache``; a stage that is finished and no run leads to; one begun, whose run may still be gone on with.
        paths: what is removed.
        size: bytes.
        made: the day of the last change.
    """

    place: Path
    kind: Kind
    paths: tuple[Path, ...]
    size: int
    made: date


def removables(folders: Sequence[Path]) -> list[Removable]:
    """What may be removed: of the stores in these folders, and of the user's cache.

    A stage is used where a link anywhere in ``folders`` leads to it. Stores are known by acclimate's mark, stages
    and cached files by their names; nothing else is listed. What another process is working on is left out, with the
    cache of its store.

    Args:
        folders: those of runs; links in them are not followed.

    Raises:
        UserError: one of the folders is not there.
    """
    stores: dict[Path, Path] = {}
    used: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}; name the one that your runs are in")
        for where, inner, names in os.walk(folder):
            used.update(Path(os.path.realpath(Path(where, name))) for name in inner if Path(where, name).is_symlink())
            if MARK in names and made_by(Path(where)) == "store":
                stores[Path(os.path.realpath(where))] = Path(where)
                inner.clear()
    found: list[Removable] = []
    for real, store in stores.items():
        found.extend(_of_store(store, real, used))
    return [*found, *_cache(user_cache())]


def remove(chosen: Iterable[Removable]) -> int:
    """Removes what was found; returns the bytes that are free again. What somebody works on by now is left."""
    freed = 0
    for each in chosen:
        if each.kind == "cache":
            for path in each.paths:
                path.unlink(missing_ok=True)
        else:
            with held(each.place) as free:
                if not free:
                    continue
                (each.place / DONE).unlink(missing_ok=True)  # first: half a stage must not look finished
                shutil.rmtree(each.place)
        freed += each.size
    return freed


def _of_store(store: Path, real: Path, used: set[Path]) -> Iterator[Removable]:
    busy = False
    for stage in sorted(store.iterdir()):
        if not _STAGE.fullmatch(stage.name) or stage.is_symlink() or not stage.is_dir():
            continue
        if (stage / "lock").exists():
            with held(stage) as free:
                busy |= not free
                if not free:
                    continue
        if real / stage.name not in used:
            kind: Kind = "old" if (stage / DONE).exists() else "unfinished"
            yield _measured(stage, kind, [stage])
    if not busy:
        yield from _cache(store / "cache")


def _cache(folder: Path) -> Iterator[Removable]:
    if folder.is_dir() and not folder.is_symlink():
        names = [
            path
            for path in sorted(folder.iterdir())
            if path.is_file() and (_CACHED.fullmatch(path.name) or path.name == _DIGESTS or is_temporary(path.name))
        ]
        if names:
            yield _measured(folder, "cache", names)


def _measured(place: Path, kind: Kind, paths: Sequence[Path]) -> Removable:
    files = [file for path in paths for file in ([path] if path.is_file() else _files(path))]
    stats = [os.lstat(file) for file in files]
    newest = max((stat.st_mtime for stat in stats), default=os.stat(place).st_mtime)
    return Removable(place, kind, tuple(paths), sum(stat.st_size for stat in stats), date.fromtimestamp(newest))


def _files(folder: Path) -> list[Path]:
    return [Path(where, name) for where, _, names in os.walk(folder) for name in names]
