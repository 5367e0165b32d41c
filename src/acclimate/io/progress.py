"""Progress on stderr: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from acclimate.io.bars import clock, stage_line, whole_line
from acclimate.io.stopping import act_on_request
from acclimate.io.terminal import SafeConsole
from acclimate.io.whole import current

SECONDS_BETWEEN_LINES = 15.0
console = SafeConsole(stderr=True)


class Tracker:
    """Tells how far a long piece of work has come."""

    def __init__(self, what: str, total: int | None, *, done: int = 0) -> None:
        self.what, self.total, self.done = what, total, done
        self._first, self._begin, self._last = done, time.monotonic(), 0.0
        self._note = ""
        self._values: Mapping[str, float] = {}
        self._silent = self._drawn = False

    def advance(self, count: int = 1, note: str | None = None, *, values: Mapping[str, float] | None = None) -> None:
        """Counts ``count`` more as done.

        Args:
            count: of the total.
            note: shown behind the count until there is a new one.
            values: named numbers, likewise; where there is little room, only the first ones are shown.

        Raises:
            Interrupted: the process was asked to stop, and nothing else acts on it.
        """
        act_on_request()
        self.done += count
        self._note = self._note if note is None else note
        self._values = self._values if values is None else dict(values)
        if self._silent:
            return
        if (whole := current()) is not None and self.total is not None:
            whole.heard(self.what, self.done, self.total, first=self._first)
        now = time.monotonic()
        if self._drawn or (now - self._last < SECONDS_BETWEEN_LINES and self.done != self.total):
            return
        self._last = now
        numbers = [f"{name} {value:.3g}" for name, value in self._values.items()]
        note = "  ".join([*numbers, self._note] if self._note else numbers)
        left = None if whole is None else whole.seconds_left()
        everything = "" if left is None else f" ({clock(left)} in all)"
        if self.total is None:
            told = f"{self.done}, {now - self._begin:.0f} s"
        else:
            told = f"{self.done}/{self.total}, {self._seconds_left() or 0.0:.0f} s left"
        print(f"{self.what}: {told}{everything}  {note}", file=sys.stderr, flush=True)

    def reach(self, done: int) -> None:
        """Moves on until so much of the total is done, never back; see :meth:`advance`."""
        if done > self.done:
            self.advance(done - self.done)

    def lines(self, width: int) -> list[str]:
        """What a terminal of that width shows now."""
        lines = [
            stage_line(
                width,
                self.what,
                done=self.done,
                total=self.total,
                left=self._seconds_left(),
                values=self._values,
                note=self._note,
            )
        ]
        if (whole := current()) is not None:
            lines.append(whole_line(width, share=whole.share, left=whole.seconds_left()))
        return lines

    def _seconds_left(self) -> float | None:
        spent, done = time.monotonic() - self._begin, self.done - self._first
        return None if self.total is None or done <= 0 else spent * (self.total - self.done) / done


@contextmanager
def progress(what: str, total: int | None, *, done: int = 0, silent: bool = False) -> Iterator[Tracker]:
    """A tracker of work, as lines or a bar.

    Args:
        what: named before it.
        total: items; None: nobody knows how many.
        done: of these, what was done before.
        silent: in all processes but the first.
    """
    tracker = Tracker(what, total, done=done)
    tracker._silent = silent
    if silent or not console.is_terminal:
        yield tracker
        return
    tracker._drawn = True

    def drawn() -> Text:
        return Text("\n".join(tracker.lines(console.width)), no_wrap=True, overflow="crop")

    with Live(console=console, transient=True, refresh_per_second=4, get_renderable=drawn):
        yield tracker
