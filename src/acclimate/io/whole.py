"""How far a run of several stages is, beside the bar of the stage at hand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class WholeRun:
    """The work of all stages together, and how much of it is done."""

    def __init__(self) -> None:
        self._work: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._before = 0.0
        """Of what is done, that which was done before the clock began."""
        self._begin: float | None = None
        self._key, self._title = "", ""

    def expect(self, work: Mapping[str, float]) -> None:
        """Stages that are not done yet.

        Args:
            work: of each, by key, in units that take about the same time everywhere.
        """
        self._work.update(work)

    @contextmanager
    def stage(self, key: str, title: str) -> Iterator[None]:
        """While a stage is at work: bars whose name begins with its title tell how far it is."""
        self._key, self._title = key, title
        try:
            yield
        finally:
            self._key = self._title = ""
        self._done[key] = 1.0

    def heard(self, what: str, done: int, total: int, *, first: int) -> None:
        """A bar of that name stands at ``done`` of ``total``, and began at ``first``.

        The clock begins with the first of them: reading data and the first step take long, and would be taken for the
        speed of all that follows.
        """
        if not self._key or not what.startswith(self._title) or total <= 0:
            return
        if self._key not in self._done:
            self._before += self._work.get(self._key, 0.0) * first / total
        self._done[self._key] = max(self._done.get(self._key, 0.0), done / total)
        if self._begin is None:
            self._begin, self._before = time.monotonic(), self._finished()

    @property
    def share(self) -> float:
        """Done of everything, 0 to 1."""
        everything = sum(self._work.values())
        return self._finished() / everything if everything > 0 else 1.0

    def seconds_left(self) -> float | None:
        """At the speed so far; None while nothing is known of it."""
        here = self._finished() - self._before
        if self._begin is None or here <= 0:
            return None
        return (time.monotonic() - self._begin) * (sum(self._work.values()) - self._finished()) / here

    def _finished(self) -> float:
        return sum(self._work.get(key, 0.0) * share for key, share in self._done.items())


_current: list[WholeRun] = []


def current() -> WholeRun | None:
    """The run that is under way in this process."""
    return _current[-1] if _current else None


@contextmanager
def whole_run() -> Iterator[WholeRun]:
    """While the block lasts, bars and lines of progress also tell how far the whole run is."""
    _current.append(WholeRun())
    try:
        yield _current[-1]
    finally:
        _current.pop()
