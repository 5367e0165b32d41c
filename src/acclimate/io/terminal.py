"""What is said on the terminal: names and texts from data cannot command it.

A file's or a class's name may hold escape sequences that clear the screen, colour what follows or change the window's
title, marks that turn the direction of writing, and bytes that are no UTF-8. They are shown as ``\\x1b`` and the like.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from typing import IO, Any, TextIO, cast

from rich._null_file import NULL_FILE
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tab and new line, marks of direction, and halves of characters."""


def shown(text: object) -> str:
    """A text in which nothing commands a terminal."""
    return _COMMANDS.sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class _Guarded:
    """A stream that shows commands instead of passing them on; Rich, whose commands are our own, is let through."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    @property
    def rich_proxied_file(self) -> IO[str]:
        """Where Rich writes: it asks for this name."""
        return self._stream

    def write(self, text: str) -> int:
        self._stream.write(shown(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class SafeConsole(Console):
    """Rich's console, whose tables and bars show commands in the texts they are given instead of passing them on."""

    @property
    def file(self) -> IO[str]:
        """Where Rich's own commands go: below what guards the stream, and below what Rich puts over that for a bar."""
        file: Any = self._file or (sys.stderr if self.stderr else sys.stdout)
        while (inner := getattr(file, "rich_proxied_file", None)) is not None:
            file = inner
        return cast(IO[str], NULL_FILE if file is None else file)

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """What is written; only Rich's own control segments stay as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def guard_terminal() -> None:
    """From now on nothing that this process prints or logs commands the terminal, except Rich's own colours."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Guarded):
            setattr(sys, name, cast(TextIO, _Guarded(stream)))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
