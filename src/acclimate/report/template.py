"""The page's template: where its files are, and how it writes numbers and words."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from acclimate.evaluation.scores import Spread
from acclimate.report import tables


@cache
def environment() -> jinja2.Environment:
    """What renders the page; made once, as templates take longer to compile than to fill in."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=tables.percent,
        points=lambda value: tables.signed_points(value).replace("-", "−"),
        number=tables.number,
        subset_title=tables.subset_title,
        heat=_heat,
        sentence=_sentence,
        coded=_coded,
        rgb=lambda colour: "rgb({}, {}, {})".format(*colour),
    )
    return made


def resource(name: str) -> str:
    """The text of a file beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _heat(gain: Spread | None) -> str:
    """Strength of a cell's tint for a gain or loss: full at twenty points."""
    return "0" if gain is None else f"{min(1.0, abs(gain.mean) / 0.20):.2f}"


def _sentence(words: str, name: str) -> Markup:
    """Words that begin with a capital, unless they begin with a model's name."""
    if not (name and words.startswith(name)):
        words = words[:1].upper() + words[1:]
    return _coded(words)


def _coded(words: str) -> Markup:
    """Words in which what is in backquotes is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))
