"""Reading what somebody else wrote: regular files only, and never more of one than its kind needs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from acclimate.errors import UserError

MOST_TEXT = 64 * 1024 * 1024
"""Bytes of a list of names or an annotation of one picture."""
MOST_JSON = 1024 * 1024 * 1024
"""Bytes of one JSON for a whole data set: COCO's largest are half of it."""


class Readable(Protocol):
    """A file, wherever it is: on disk or inside an archive."""

    def read_bytes(self) -> bytes:
        """The whole content."""


def stream_of(path: Path) -> BinaryIO:
    """A file opened for reading; pipes, sockets and devices are refused at once instead of being waited for.

    Raises:
        UserError: it is no regular file.
        OSError: it is not there or may not be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _no_file(path)
    # without O_NONBLOCK a pipe that took the file's place in between would be waited for
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_file(path)
    return os.fdopen(descriptor, "rb")


def _no_file(path: Path) -> UserError:
    what = "a folder" if Path(path).is_dir() else "a pipe, a socket or a device"
    return UserError(f"{path} is {what}, not a file; put a file in its place or remove it")


def bytes_of(place: Readable, *, most: int) -> bytes:
    """The content of a file.

    Args:
        place: a path on disk, or inside an archive.
        most: bytes; larger files are refused.

    Raises:
        UserError: it is no regular file, or larger.
        OSError: it is not there or may not be read.
    """
    if isinstance(place, Path):
        with stream_of(place) as stream:
            content = stream.read(most + 1)
    else:
        content = place.read_bytes()
    if len(content) > most:
        raise UserError(f"{place} has more than the {most:,} bytes that are read of such a file; make it smaller")
    return content


def text_of(place: Readable, *, most: int = MOST_TEXT) -> str:
    """The content of a UTF-8 text file, without the mark some editors put first.

    Raises:
        UserError: it is missing, no regular file, too large or not UTF-8.
    """
    try:
        return bytes_of(place, most=most).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no {place}") from None
    except OSError as error:
        raise UserError(f"{place} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{place} is not UTF-8 ({error}); save it as UTF-8") from None


def json_of(place: Readable, *, most: int = MOST_TEXT) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: it is missing, no regular file, too large, not JSON or nested beyond reading.
    """
    try:
        return parsed_json(text_of(place, most=most))
    except BadJson as error:
        raise UserError(f"{place} cannot be read as JSON ({error}); put the original file back") from None


class BadJson(ValueError):
    """A text that is no JSON, or nested beyond reading; the one that is raised wherever JSON is parsed."""


def parsed_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
        BadJson: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise BadJson("it is nested too deeply") from None
    except ValueError as error:
        raise BadJson(str(error)) from None
