"""Files that are either whole or absent: everything is written to a temporary name, flushed and renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acclimate.errors import UserError
from acclimate.io.reading import MOST_JSON, json_of
from acclimate.io.stopping import act_on_request

_OURS = re.compile(r"\..*\.acclimate-\d+-[0-9a-f]{8}\.tmp", re.DOTALL)
"""What temporary files are called: ``.NAME.acclimate-PROCESS-RANDOM.tmp``. Nobody else's file has such a name."""
_LONGEST_NAME = 100
"""Characters of a file's name that its temporary name repeats, so that a long name does not become too long."""


def user_cache() -> Path:
    """Where what can be computed again is kept: ``$XDG_CACHE_HOME/acclimate`` or ``~/.cache/acclimate``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acclimate"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; when the block ends well it becomes ``path``, otherwise it vanishes.

    Whoever writes to the temporary path, the file gets the permissions of any new file of the user's, and while it is
    written it is locked, so that :func:`remove_leftovers` tells it from one that a killed process left.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
        Interrupted: the process was asked to stop, and nothing else acts on it.
    """
    path = Path(path)
    act_on_request()
    temporary: Path | None = None
    handle: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _begun(path)
        permissions = stat.S_IMODE(os.fstat(handle).st_mode)
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
            # some libraries put a private file of their own in its place
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) != permissions:
                os.chmod(temporary, permissions)
        if sys.platform == "win32":
            os.close(handle)
            handle = None
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space or choose another folder with -o" if full else "choose another place to write to"
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; {remedy}, "
            "then run the same command again: nothing finished so far is lost"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _begun(path: Path) -> tuple[Path, int]:
    """A new, empty, locked temporary file beside ``path``, and its open handle."""
    while True:
        name = f".{path.name[:_LONGEST_NAME]}.acclimate-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        temporary = path.parent / name
        # not the tempfile module, whose files are private: results are meant to be shared like any file of the user's
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        if locked(handle) and temporary.exists():
            return temporary, handle
        os.close(handle)  # somebody who sweeps was faster than the lock, and removes it


def locked(handle: int) -> bool:
    """Takes an advisory lock that ends with the process; False where another one holds it.

    Some network file systems know no locks: better to work without than not at all.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_temporary(name: str) -> bool:
    """Whether a file of that name is one that acclimate had not finished writing."""
    return _OURS.fullmatch(name) is not None


def remove_leftovers(folder: Path, *, deep: bool = True) -> None:
    """Removes what killed writers left in ``folder``: files with our temporary names that nobody is writing.

    Args:
        folder: links in it are not followed.
        deep: also look in the folders below.
    """
    if sys.platform == "win32":
        return  # without locks, a file that is being written cannot be told from one that is left
    for where, folders, names in os.walk(folder):
        for name in filter(is_temporary, names):
            _remove_if_left(Path(where, name))
        if not deep:
            folders.clear()


def _remove_if_left(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode) and locked(handle):
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes ``content`` to ``path`` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes ``content`` to ``path`` as UTF-8, atomically."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes ``content`` to ``path`` as indented JSON, atomically; NaN is an error, absent values are null."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file that acclimate wrote.

    Raises:
        UserError: the file is missing, no regular file, too large, not JSON, or nested beyond reading.
    """
    return json_of(Path(path), most=MOST_JSON)


def hash_of(content: Any) -> str:
    """A 16-digit hash of anything JSON can hold; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def hash_of_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
