"""Glob patterns over relative paths, in time that grows with the path and the pattern, never with their choices."""

from __future__ import annotations

from collections.abc import Sequence

MANY = "**"


class Pattern:
    """A glob as ``Path.glob`` reads it: ``*`` and ``?`` within a part, ``[…]`` sets, ``**`` for any folders.

    Args:
        text: parts joined by ``/``.
    """

    def __init__(self, text: str) -> None:
        parts = [part for part in text.split("/") if part not in ("", ".")]
        # several ** in a row mean what one means
        self.parts = [part for at, part in enumerate(parts) if part != MANY or parts[at - 1 : at] != [MANY]]
        self._tokens = [[] if part == MANY else _tokens(part) for part in self.parts]

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether the parts of a relative path fit."""
        return len(self.parts) in self._after(parts)

    def may_hold(self, parts: Sequence[str]) -> bool:
        """Whether a folder of these parts may hold files that fit."""
        return any(state < len(self.parts) for state in self._after(parts))

    def _after(self, parts: Sequence[str]) -> set[int]:
        """How many parts of the pattern may have been used up after ``parts``: a walk over states."""
        states = self._with_empty({0})
        for part in parts:
            states = self._with_empty(
                {
                    state + (self.parts[state] != MANY)
                    for state in states
                    if state < len(self.parts) and (self.parts[state] == MANY or _fits(self._tokens[state], part))
                }
            )
            if not states:
                break
        return states

    def _with_empty(self, states: set[int]) -> set[int]:
        """A ``**`` may stand for no folder at all."""
        return states | {state + 1 for state in states if state < len(self.parts) and self.parts[state] == MANY}


def _tokens(part: str) -> list[str]:
    """``a*[0-9]`` as ``a``, ``*``, ``[0-9]``; runs of ``*`` are one."""
    tokens: list[str] = []
    at = 0
    while at < len(part):
        end = part.find("]", at + 2 + part.startswith("[!", at)) if part[at] == "[" else -1
        token = part[at : end + 1] if end > 0 else part[at]
        at += len(token)
        if token == "*" and tokens[-1:] == ["*"]:
            continue
        tokens.append(f"[{token}]" if token == "[" else token)
    return tokens


def _fits(tokens: Sequence[str], text: str) -> bool:
    """Greedy, remembering only the last ``*``: at most len(tokens) x len(text) steps."""
    token = at = 0
    star, kept = -1, 0
    while at < len(text):
        if token < len(tokens) and tokens[token] == "*":
            star, kept, token = token, at, token + 1
        elif token < len(tokens) and _one(tokens[token], text[at]):
            token, at = token + 1, at + 1
        elif star >= 0:
            kept += 1
            token, at = star + 1, kept
        else:
            return False
    return all(rest == "*" for rest in tokens[token:])


def _one(token: str, character: str) -> bool:
    if token == "?" or token == character:
        return True
    if len(token) < 3:
        return False
    inverted, inside = token[1] == "!", token[2:-1] if token[1] == "!" else token[1:-1]
    hit, at = False, 0
    while at < len(inside):
        if at + 2 < len(inside) and inside[at + 1] == "-":
            hit |= inside[at] <= character <= inside[at + 2]
            at += 3
        else:
            hit |= inside[at] == character
            at += 1
    return hit != inverted
