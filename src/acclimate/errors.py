"""The one exception that means: the user's input is at fault."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """What is wrong, where, and what to do about it, in one message.

    The command line prints the message without a traceback and exits with status 2. Anything else that escapes is
    our own fault and keeps its traceback.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint ``; did you mean 'x'?`` for the known word nearest to ``word``, or an empty string."""
    matches = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def unknown(kind: str, word: str, known: Iterable[str]) -> UserError:
    """The error for a name that no registry knows: names the nearest known one and lists them all."""
    names = sorted(known)
    return UserError(f"unknown {kind} {word!r}{nearest(word, names)} (known: {', '.join(names)})")
