"""Data sets inside zip archives, as they are distributed: read where they lie, nothing is unpacked.

An :class:`ArchivePath` stands where a path stands, for the few questions that readers ask. Several archives together
make one tree, because images and labels are often shipped apart.

What an archive cannot do: names that would leave the folder they are in are refused when it is opened (data set names
become the names of files that are written); a member that claims more than :data:`MAX_MEMBER_BYTES` is refused, and
never more than it claims is unpacked; nothing is ever written to disk, and links in archives are not followed.
"""

from __future__ import annotations

import lzma
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Union

from acclimate.errors import UserError
from acclimate.io.images import OTHER_PICTURES
from acclimate.io.images import SUFFIXES as IMAGE_SUFFIXES
from acclimate.io.reading import stream_of

MAX_MEMBER_BYTES = 512 * 1024 * 1024
"""Larger files inside an archive are refused: a small malicious archive can unpack to a size that fills the memory."""

MOST_PARTS, MOST_CHARACTERS = 64, 1024
"""Of a name: folders of folders cost memory that grows with the square of their number."""

SUFFIXES = (*IMAGE_SUFFIXES, *OTHER_PICTURES, ".json", ".yaml", ".yml", ".txt")
"""What is looked for."""
APART = (".txt", ".json")
"""Of two archives of one data set, each may bring its own README or licence: the first one counts."""

ARCHIVE_SUFFIX = ".zip"

_UNPACKING = (
    OSError, ValueError, EOFError, RuntimeError, TypeError, IndexError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    struct.error,
)  # fmt: skip
"""What the unpackers of deflate, bzip2 and LZMA raise on damage; unknown ones raise a RuntimeError."""


class Archives:
    """One tree out of one or several zip archives. Safe in threads, and in processes: each opens its own handles.

    Args:
        paths: the archives; where two hold the same name, the contents must be the same.

    Raises:
        UserError: an archive cannot be read, holds names that lead outside of it, or contradicts another.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self.members: dict[str, tuple[int, int, int]] = {}
        """Name -> (which archive, size in bytes, CRC-32)."""
        self.folders: set[str] = {""}
        self._start_handles()
        for number, path in enumerate(self.paths):
            for info in self._opened(number).infolist():
                self._add(number, path, info)

    def _add(self, number: int, path: Path, info: zipfile.ZipInfo) -> None:
        name = info.filename
        parts = name.rstrip("/").split("/")
        # zipfile turns the platform's own separators into "/"; the name as stored is what other tools would obey
        stored = info.orig_filename
        if name.startswith("/") or "\\" in stored or ".." in parts or "" in parts or "." in parts or ":" in parts[0]:
            raise UserError(
                f"{path} holds the name {stored!r}, which could lead outside its folder; such archives are not read: "
                "pack the data again from a folder"
            )
        if len(parts) > MOST_PARTS or len(name) > MOST_CHARACTERS:
            raise UserError(
                f"{path} holds a name of {len(parts)} parts and {len(name)} characters, more than the {MOST_PARTS} and "
                f"{MOST_CHARACTERS} that are read; pack the data again from a folder"
            )
        if info.is_dir() or parts[0] == "__MACOSX" or not name.lower().endswith(SUFFIXES):
            return
        entry = (number, info.file_size, info.CRC)
        earlier = self.members.setdefault(name, entry)
        if earlier[1:] != entry[1:] and not name.lower().endswith(APART):
            raise UserError(f"{self.paths[earlier[0]]} and {path} hold different files called {name}; keep one")
        for depth in range(1, len(parts)):
            self.folders.add("/".join(parts[:depth]))

    def _start_handles(self) -> None:
        self._handles: dict[tuple[int, int], zipfile.ZipFile] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_handles"], state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_handles()

    def _opened(self, number: int) -> zipfile.ZipFile:
        # a forked process would share its parent's position in the file, hence the process in the key
        key = (os.getpid(), number)
        with self._lock:
            if key not in self._handles:
                path = self.paths[number]
                try:
                    self._handles[key] = zipfile.ZipFile(stream_of(path))
                except FileNotFoundError:
                    raise UserError(f"there is no archive {path}") from None
                except UserError:
                    raise
                except (OSError, ValueError, NotImplementedError, RecursionError, zipfile.BadZipFile) as error:
                    raise UserError(f"{path} cannot be read as a zip archive ({error}); download it again") from error
            return self._handles[key]

    def path_of(self, name: str) -> Path:
        """The archive that holds a member."""
        return self.paths[self.members[name][0]]

    def read(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            UserError: it is damaged, encrypted, or larger than :data:`MAX_MEMBER_BYTES`.
        """
        number, size, _ = self.members[name]
        where = f"{self.paths[number]}/{name}"
        if size > MAX_MEMBER_BYTES:
            raise UserError(
                f"{where} unpacks to {size} bytes, more than the {MAX_MEMBER_BYTES // 1024**2} MiB that are read from "
                "an archive; unpack it yourself if you trust it"
            )
        try:
            return self._opened(number).read(name)
        except UserError:
            raise
        except _UNPACKING as error:
            raise UserError(f"{where} cannot be unpacked ({error}); replace the archive with an intact copy") from error


class ArchivePath:
    """A file or folder inside :class:`Archives`; answers as :class:`pathlib.Path` does."""

    def __init__(self, archives: Archives, inside: str = "") -> None:
        self.archives = archives
        self.inside = inside

    def __truediv__(self, part: str) -> ArchivePath:
        return self.joinpath(part)

    def joinpath(self, *parts: str) -> ArchivePath:
        """The path below this one; ``..`` cannot leave the archive, because no member has such a name."""
        joined = PurePosixPath(self.inside, *parts).as_posix()
        return ArchivePath(self.archives, "" if joined == "." else joined)

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.inside).name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return PurePosixPath(self.inside).stem

    @property
    def suffix(self) -> str:
        """The suffix with its dot."""
        return PurePosixPath(self.inside).suffix

    @property
    def parent(self) -> ArchivePath:
        """The folder it is in."""
        inside = PurePosixPath(self.inside).parent.as_posix()
        return ArchivePath(self.archives, "" if inside == "." else inside)

    def is_dir(self) -> bool:
        """Whether it is a folder with files in it."""
        return self.inside in self.archives.folders

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.inside in self.archives.members

    def exists(self) -> bool:
        """Whether it is there."""
        return self.is_dir() or self.is_file()

    def read_bytes(self) -> bytes:
        """The content; raises FileNotFoundError, or UserError for damaged and too large files."""
        if not self.is_file():
            raise FileNotFoundError(str(self))
        return self.archives.read(self.inside)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def files(self) -> Iterator[ArchivePath]:
        """All files below it."""
        start = f"{self.inside}/" if self.inside else ""
        return (ArchivePath(self.archives, name) for name in self.archives.members if name.startswith(start))

    def folders(self) -> list[str]:
        """Names of the folders directly inside."""
        start = f"{self.inside}/" if self.inside else ""
        below = {name[len(start) :] for name in self.archives.folders if name.startswith(start)}
        return sorted(name for name in below if name and "/" not in name)

    def below(self, folder: ArchivePath) -> PurePosixPath:
        """The part of it below ``folder``."""
        return PurePosixPath(self.inside).relative_to(folder.inside or ".")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArchivePath) and (self.inside, self.archives.paths) == (
            other.inside,
            other.archives.paths,
        )

    def __hash__(self) -> int:
        return hash(self.inside)

    def __lt__(self, other: ArchivePath) -> bool:
        return self.inside < other.inside

    def __str__(self) -> str:
        member = self.archives.members.get(self.inside)
        paths = self.archives.paths
        archive = str(paths[member[0]]) if member else ",".join(map(str, paths))
        return f"{archive}/{self.inside}" if self.inside else archive


Place = Union[Path, ArchivePath]  # noqa: UP007  (an alias that is evaluated on Python 3.10)
"""A file or folder: on disk, or inside an archive."""


def archives_named(path: Path) -> list[Path]:
    """The archives a spec's path names: ``a.zip``, or ``a.zip,b.zip``; none where it names something else."""
    parts = [Path(part).expanduser() for part in str(path).split(",")]
    if Path(path).expanduser().is_dir() or any(part.suffix.lower() != ARCHIVE_SUFFIX for part in parts):
        return []
    return parts


def archives_in(folder: Path) -> list[Path]:
    """The archives that lie directly in a folder, sorted."""
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() == ARCHIVE_SUFFIX and entry.is_file())
