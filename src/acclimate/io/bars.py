"""The two lines of a run on a terminal: the stage at hand and the whole run, fitted to its width.

What is cut when there is little room: first speed and further losses, then what is in brackets behind the stage's name,
the bar, the losses' names, and last the stage's own name. Count, time left and two losses stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

LOSSES = 2
"""How many are always shown."""
_BARS = (24, 12, 6)
_SHORT = {
    "adversarial": "adv",
    "auxiliary": "aux",
    "confidence": "conf",
    "discriminator": "disc",
    "divergence": "div",
    "entropy": "ent",
    "maximisation": "max",
    "perceptual": "perc",
    "segmentation": "seg",
    "source": "src",
    "target": "tgt",
    "translated": "transl",
}
_LEFT_OUT = ("on", "main")


def clock(seconds: float | None) -> str:
    """``0:07``, ``12:30``, ``1:05:00``; ``-:--`` where it is not known."""
    if seconds is None:
        return "-:--"
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, last = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{last:02d}" if hours else f"{minutes}:{last:02d}"


def stage_line(
    width: int, what: str, *, done: int, total: int | None, left: float | None, values: Mapping[str, float], note: str
) -> str:
    """The line of a stage, at most ``width`` characters.

    Args:
        width: of the terminal.
        what: the stage's name, perhaps with something in brackets behind.
        done, total: the count; None where nobody knows of how many.
        left: seconds.
        values: losses and other numbers, the most important first.
        note: what else there is to say, such as the speed.
    """
    count, share = (f"{done}", 0.0) if total is None else (f"{done}/{total}", done / max(1, total))
    time_left = clock(left)
    for line in _candidates(what, count, time_left, share, values, note):
        if len(line) <= width:
            return line
    rest = _parts(count, time_left, _told(_first(values), short=True, narrow=True))
    room = width - len(rest) - 2
    return f"{what[: room - 1]}…  {rest}" if room > 2 else rest[:width]


def whole_line(width: int, *, share: float, left: float | None) -> str:
    """The line of the whole run, at most ``width`` characters."""
    for size in _BARS:
        line = _parts("whole run", bar(share, size), f"{100 * share:.0f} %", clock(left))
        if len(line) <= width:
            return line
    return f"{100 * share:.0f} %  {clock(left)}"[:width]


def bar(share: float, size: int) -> str:
    """A bar of ``size`` characters."""
    full = min(size, round(max(0.0, share) * size))
    return "━" * full + "╌" * (size - full)


def _candidates(
    what: str, count: str, left: str, share: float, values: Mapping[str, float], note: str
) -> Iterator[str]:
    """Lines from the richest to the poorest."""
    widest, *narrower = [bar(share, size) for size in _BARS]
    first, brief = _first(values), what.partition(" (")[0]
    yield _parts(what, widest, count, left, _told(values), note)
    yield _parts(what, widest, count, left, _told(values))
    for name in (what, brief):
        yield _parts(name, widest, count, left, _told(first) or note)
    narrowest = _told(first, short=True, narrow=True)
    for told in (_told(first), _told(first, short=True), narrowest):
        for drawn in narrower:
            yield _parts(brief, drawn, count, left, told)
    yield _parts(brief, count, left, narrowest)


def _first(values: Mapping[str, float]) -> dict[str, float]:
    return dict(list(values.items())[:LOSSES])


def _parts(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _told(values: Mapping[str, float], *, short: bool = False, narrow: bool = False) -> str:
    digits = 2 if narrow else 3
    return "  ".join(f"{shortened(name) if short else name} {value:.{digits}g}" for name, value in values.items())


def shortened(name: str) -> str:
    """``discriminator main on source`` as ``disc src``: what a name of a loss can be told by in little room."""
    words = [_SHORT.get(word, word) for word in name.split() if word not in _LEFT_OUT]
    return " ".join(word if len(word) <= 6 else word[:5] for word in words) or name[:6]
