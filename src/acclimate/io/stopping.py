"""Whether somebody asked this process to stop: a flag that signal handlers set and that work looks at.

A handler may run anywhere, also inside ``__del__`` and callbacks of weak references, where Python swallows what is
raised. So it raises nothing; the request is acted on at the next safe point, of which there are many: whenever a
progress bar advances and whenever a file is about to be written.
"""

from __future__ import annotations

from dataclasses import dataclass


class Interrupted(Exception):
    """The run was asked to stop and has saved its state. The command line exits with status 130."""


@dataclass
class _State:
    """Of this process.

    Attributes:
        asked: what asked it to stop: a signal's name, or empty.
        told: whether an :class:`Interrupted` is on its way already.
        guards: how many blocks there are around the work at hand that look at the flag themselves.
        handled: whether signals set the flag.
        impatience: how often Ctrl-C was pressed once more.
    """

    asked: str = ""
    told: bool = False
    guards: int = 0
    handled: bool = False
    impatience: int = 0


state = _State()


def act_on_request() -> None:
    """Ends the work at hand where the process was asked to stop and nothing around it acts on that.

    Raises:
        Interrupted: once for each request.
    """
    if state.asked and not state.told and not state.guards:
        state.told = True
        raise Interrupted(f"stopped by {state.asked}")
