"""Requests to stop end a run at the next safe point instead of in the middle of a write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)  # Windows has no SIGUSR1
"""Ctrl-C, the polite end that ``kill``, ``torchrun`` and SLURM send, and SLURM's advance notice
(``--signal=USR1@120``)."""


class Interrupted(Exception):
    """The run was asked to stop and has saved its state. The command line exits with status 130."""


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turns the signals of :data:`STOPPING` into a flag during the block; a second SIGINT stops at once."""
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        if request.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.requested = True

    with _handled(ask):
        yield request


@contextmanager
def stoppable() -> Iterator[None]:
    """For work that keeps no place of its own: the same signals end the block with :class:`Interrupted`.

    What a stage has written by then is whole, because files appear only when they are complete; what
    :func:`stop_request` guards inside the block goes by its own rule.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    with _handled(leave):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
