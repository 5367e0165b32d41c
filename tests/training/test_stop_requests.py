"""A request to stop is never lost, wherever its signal arrives."""

from __future__ import annotations

import os
import signal
import sys
import weakref
from pathlib import Path

import pytest
from test_fit import Sitting

from acclimate.io.stopping import Interrupted
from acclimate.training.checkpoint import Checkpoints

if sys.platform == "win32":
    pytest.skip("there are no such signals there", allow_module_level=True)


class Thing:
    """Something that can be referred to weakly."""


class Ends:
    """Sends a signal where Python swallows what a handler raises."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("where", ["__del__", "weakref", "generator"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_request_is_not_lost_where_python_swallows_errors(number: int, where: str, tmp_path: Path) -> None:
    def left_open() -> object:
        try:
            yield
        finally:
            os.kill(os.getpid(), number)

    def before_step(step: int) -> None:
        if step != 1:
            return
        if where == "__del__":
            end = Ends(number)
            del end
        elif where == "weakref":
            thing = Thing()
            reference = weakref.ref(thing, lambda gone: os.kill(os.getpid(), number))
            del thing
            assert reference() is None
        else:
            generator = left_open()
            next(generator)  # type: ignore[call-overload]
            del generator

    with pytest.raises(Interrupted, match="stopped after step 2 of 6; the state is saved"):
        Sitting("source_only", tmp_path, before_step=before_step).run()
    state = Checkpoints(tmp_path).newest()
    assert state is not None
    assert state["step"] == 2
