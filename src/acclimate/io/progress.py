"""Progress on stderr: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from acclimate.io.stopping import act_on_request
from acclimate.io.terminal import SafeConsole

SECONDS_BETWEEN_LINES = 15.0
console = SafeConsole(stderr=True)


class Tracker:
    """Tells how far a long piece of work has come."""

    def __init__(self, what: str, total: int | None, *, done: int = 0) -> None:
        self.what, self.total, self.done = what, total, done
        self._first, self._begin, self._last = done, time.monotonic(), 0.0
        self._bar: Progress | None = None
        self._note = ""
        self._silent = False

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Counts ``count`` more as done; ``note`` is shown beside the bar until there is a new one.

        Raises:
            Interrupted: the process was asked to stop, and nothing else acts on it.
        """
        act_on_request()
        self.done += count
        self._note = self._note if note is None else note
        if self._silent:
            return
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, note=self._note)
            return
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES and (self.total is None or self.done < self.total):
            return
        self._last = now
        spent = now - self._begin
        if self.total is None:
            print(f"{self.what}: {self.done}, {spent:.0f} s  {self._note}", file=sys.stderr, flush=True)
            return
        rate = (self.done - self._first) / spent if spent > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else 0.0
        print(f"{self.what}: {self.done}/{self.total}, {left:.0f} s left  {self._note}", file=sys.stderr, flush=True)


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
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        bar.add_task(what, total=total, completed=done, note="")
        tracker._bar = bar
        yield tracker
