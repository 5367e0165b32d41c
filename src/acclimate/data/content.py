"""Files known by what is in them: a SHA-256 per file, read once and remembered beside what the file system says of it.

A digest is believed as long as size, modification time, status-change time and inode are those it was taken under. A
copy whose times were lost is read again and has the same digest, so nothing is trained again; a file that was changed
and given its old size and modification time back is noticed, because nobody can set the status-change time (on Windows
that time is the creation's, and such a change goes unnoticed).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.data.cache import in_parallel
from acclimate.data.readers.archives import ArchivePath, Place
from acclimate.errors import UserError
from acclimate.io.files import user_cache, write_bytes
from acclimate.io.progress import progress
from acclimate.io.reading import parsed_json, stream_of

log = logging.getLogger(__name__)

FILE_NAME = "file-digests.jsonl"
MOST_FILES = 400_000
"""Digests that are kept, about 200 bytes each; beyond, those unused for longest go."""
SETTLED = 2.0
"""Seconds a file must have lain unchanged to be remembered: a change within one tick of its clock would be missed."""
SHOWN_FROM = 256 * 2**20
"""Bytes from which a bar shows how far the reading is."""
UNREADABLE = "unreadable"
"""Stands for the digest of what cannot be read; whoever needs the file says what is wrong with it."""
_BLOCK = 1 << 20

State = list[int]
"""Size, modification time and status-change time in nanoseconds, and inode of a file."""


class FileDigests:
    """The digests of files and of members of archives, kept in one file of a folder. Safe in threads.

    Processes may share the folder: each adds what it found to what is there, and the file is always whole.

    Args:
        folder: where they are kept. If it cannot be written to, files are read again next time.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / FILE_NAME
        self._lock = threading.Lock()
        self._known: dict[str, list[Any]] | None = None
        """Path -> state and digest, those used last at the end."""

    def of(self, places: Sequence[Place], what: str) -> list[str]:
        """The SHA-256 of each file's content in hexadecimal, :data:`UNREADABLE` where there is none to be had.

        Args:
            places: files on disk, or members of archives, which are hashed as they unpack: a set has the same digests
                packed and unpacked.
            what: named by the bar that is shown when there is much to read.
        """
        with self._lock:
            if self._known is None:
                self._known = _remembered(self.path)
            located = [_location(place) for place in places]
            on_disk = {path: _state(path) for path in dict.fromkeys(path for path, _ in located)}
            digests: dict[str, str] = {}
            unread: dict[str, tuple[Place, Path]] = {}
            for place, (path, key) in zip(places, located, strict=True):
                digest = _believed(self._known.get(key), on_disk[path])
                if digest is None:
                    unread[key] = (place, path)
                else:
                    digests[key] = digest
            if unread:
                used = {key: self._known[key] for key in digests}
                learned = self._read(unread, on_disk, digests, what)
                if learned:
                    self._known = _joined(self._known, _remembered(self.path), used, learned)
                    self._write()
            return [digests[key] for _, key in located]

    def _read(
        self,
        unread: dict[str, tuple[Place, Path]],
        on_disk: dict[Path, State | None],
        digests: dict[str, str],
        what: str,
    ) -> dict[str, list[Any]]:
        """Fills in the digests of what is not known; returns the entries that may be remembered."""
        items, learned = list(unread.items()), {}
        size = sum(state[0] for _, path in unread.values() if (state := on_disk[path]) is not None)
        with progress(what, len(items), silent=size < SHOWN_FROM) as bar:
            read = in_parallel(lambda number: _digest(items[number][1][0]), len(items))
            for (key, (_, path)), digest in zip(items, read, strict=True):
                digests[key] = digest
                before, now = on_disk[path], _state(path)
                settled = now is not None and time.time_ns() - now[2] > SETTLED * 1e9
                if settled and now == before and digest != UNREADABLE:
                    learned[key] = [*(before or []), digest]
                bar.advance()
        return learned

    def _write(self) -> None:
        body = json.dumps(self._known, separators=(",", ":")).encode()
        head = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
        try:
            write_bytes(self.path, head + b"\n" + body + b"\n")
        except UserError as error:
            log.warning("digests of data files are not kept, so the files are read again next time: %s", error)


def digests_of(groups: Sequence[Sequence[Place | None]], what: str) -> list[list[str]]:
    """:meth:`FileDigests.of` for groups of files (an image and its label); None is a file that is not there.

    They are kept where :func:`keep_digests_in` said, else in the user's cache folder.
    """
    present = [[place for place in group if place is not None] for group in groups]
    digests = iter(_current().of([place for group in present for place in group], what))
    return [[next(digests) for _ in group] for group in present]


def keep_digests_in(folder: Path) -> None:
    """From now on this process keeps digests in that folder: a run keeps them in its store's ``cache``."""
    global _digests
    if _digests is None or _digests.path != Path(folder) / FILE_NAME:
        _digests = FileDigests(folder)


_digests: FileDigests | None = None


def _current() -> FileDigests:
    if _digests is None:
        keep_digests_in(user_cache())
    assert _digests is not None
    return _digests


def _location(place: Place) -> tuple[Path, str]:
    """The file on disk, and the key under which its (or its member's) digest is remembered."""
    if isinstance(place, ArchivePath):
        archive = place.archives.path_of(place.inside)
        return archive, f"{os.path.abspath(archive)}\0{place.inside}"
    return place, os.path.abspath(place)


def _state(path: Path) -> State | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _believed(entry: list[Any] | None, state: State | None) -> str | None:
    return str(entry[4]) if entry is not None and state is not None and entry[:4] == state else None


def _digest(place: Place) -> str:
    try:
        if isinstance(place, ArchivePath):
            return hashlib.sha256(place.read_bytes()).hexdigest()
        digest = hashlib.sha256()
        with stream_of(place) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()
    except (OSError, UserError):
        return UNREADABLE


def _joined(*tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """One table; of two entries the later one counts and stands later, and what is too much goes from the front."""
    joined: dict[str, list[Any]] = {}
    for table in tables:
        for key, entry in table.items():
            joined.pop(key, None)
            joined[key] = entry
    surplus = len(joined) - MOST_FILES
    for key in list(joined)[: max(0, surplus)]:
        del joined[key]
    return joined


def _remembered(path: Path) -> dict[str, list[Any]]:
    """What an earlier process kept; nothing where the file is missing or damaged."""
    try:
        head, body, end = path.read_bytes().split(b"\n")
        if end or parsed_json(head) != {"sha256": hashlib.sha256(body).hexdigest()}:
            raise ValueError("damaged")
        return dict(parsed_json(body))
    except (OSError, ValueError):
        return {}
