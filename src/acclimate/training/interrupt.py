"""Requests to stop end a run at the next safe point instead of in the middle of a write."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from acclimate.io.stopping import Interrupted, state

__all__ = ["INTERRUPTED", "STOPPING", "Interrupted", "StopRequest", "stop_request", "stoppable"]

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)  # Windows has neither SIGHUP nor SIGUSR1
"""Ctrl-C, the polite end that ``kill``, ``torchrun`` and SLURM send, a terminal that went away, and SLURM's advance
notice (``--signal=USR1@120``)."""

INTERRUPTED = 130
"""The exit status of a command that was asked to stop."""


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __bool__(self) -> bool:
        return bool(state.asked)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """For work that keeps its place: in the block, it looks at the flag itself and nothing else acts on it."""
    with _handled():
        state.guards += 1
        try:
            yield StopRequest()
        except Interrupted:
            state.told = True
            raise
        finally:
            state.guards -= 1


@contextmanager
def stoppable() -> Iterator[None]:
    """Turns the signals of :data:`STOPPING` into requests, which end the block with :class:`Interrupted`.

    That happens at the next safe point, see :mod:`acclimate.io.stopping`. What has been written by then is whole,
    because files appear only when they are complete. A second Ctrl-C does not wait for that, and a third ends the
    process at once.
    """
    with _handled():
        yield


def _ask(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT and state.asked:
        state.impatience += 1
        if state.impatience > 1:  # the first may have come where Python swallows what is raised
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt
    state.asked, state.told = signal.Signals(number).name, False


@contextmanager
def _handled() -> Iterator[None]:
    """Installs the handler for the outermost such block, and forgets requests when that ends."""
    if state.handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    # what is ignored stays so: nohup ignores SIGHUP, a shell Ctrl-C for what it runs in the background
    wanted = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _ask) for number in wanted}
    state.handled = True
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
        state.handled, state.asked, state.told, state.impatience = False, "", False, 0
