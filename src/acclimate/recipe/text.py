"""Recipes as text: YAML in and out, and values at dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from acclimate.errors import UserError
from acclimate.io.reading import bytes_of
from acclimate.io.yaml import MAX_CHARACTERS, load_yaml


def read_text(path: Path) -> str:
    """The text of a recipe file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return bytes_of(path, most=4 * MAX_CHARACTERS).decode("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}") from error


def parsed(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text describes; only plain values, nothing in it can run code.

    Args:
        where: what to call the text in errors.

    Raises:
        UserError: it is not YAML, not a mapping, or holds a key twice.
    """
    try:
        content = load_yaml(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise UserError(f"{where} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{where} must be a mapping with keys such as name, network and stages")
    return content


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over`` on top; mappings are merged key by key, all else is replaced.

    Two mappings within them whose ``name`` differs speak of different things, so that the second replaces the first:
    the options of one network are not another's.
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = value.get("name", old.get("name")) == old.get("name")
            result[key] = merged(old, value) if same else value
        else:
            result[key] = value
    return result


def leaves(content: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys of all values that are not mappings themselves."""
    keys: list[str] = []
    for key, value in content.items():
        dotted = f"{prefix}{key}"
        keys.extend(leaves(value, f"{dotted}.") if isinstance(value, Mapping) else [dotted])
    return keys


def set_key(content: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets the value at a dotted key in place, making mappings on the way.

    A key that holds a dot itself (a stage called ``esl-0.05``) is recognised where it exists.

    Raises:
        UserError: the way leads through something that is not a mapping.
    """
    here, key, rest = content, *_first_key(content, dotted)
    while rest:
        if here.get(key) is None:
            here[key] = {}
        inner = here[key]
        if not isinstance(inner, dict):
            raise UserError(f"--set {dotted}: {key!r} is a single value in this recipe and has no keys of its own")
        here, key, rest = inner, *_first_key(inner, rest)
    here[key] = value


def _first_key(content: Mapping[str, Any], dotted: str) -> tuple[str, str]:
    """The first key of a dotted one and what follows it: the longest key that exists, else up to the first dot."""
    there = [key for key in content if isinstance(key, str) and f"{dotted}.".startswith(f"{key}.")]
    first = max(there, key=len, default=dotted.partition(".")[0])
    return first, dotted[len(first) + 1 :]


def parse_override(text: str) -> tuple[str, Any]:
    """``key.sub=value`` as a dotted key and a YAML value.

    Raises:
        UserError: there is no ``=``, or the value is not YAML.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"--set needs key=value, got {text!r}; write the key, an equals sign and the value")
    try:
        return key.strip(), load_yaml(value)
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise UserError(f"--set {key}: {value!r} is not a YAML value ({error})") from None


def to_yaml(content: Any, *, short_lists: bool = False) -> str:
    """Plain values as YAML in block style, one line for each key and for each item of a list.

    Args:
        short_lists: write lists of numbers and texts on the line of their key, ``[320, 240]``.
    """
    dumper = _ShortLists if short_lists else _OneLineStrings
    text: str = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def commented(text: str, comments: Mapping[str, str]) -> str:
    """YAML as :func:`to_yaml` writes it, with a comment behind the values of some dotted keys."""
    lines = text.splitlines()
    path: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        stripped = line.lstrip()
        key, sign, _ = stripped.partition(":")
        if not sign or stripped.startswith(("-", "#")):
            continue
        indent = len(line) - len(stripped)
        path = [entry for entry in path if entry[0] < indent] + [(indent, key)]
        dotted = ".".join(entry[1] for entry in path)
        if dotted in comments:
            lines[number] = f"{line}  # {comments[dotted]}"
    return "\n".join(lines) + "\n"


class _OneLineStrings(yaml.SafeDumper):
    """Writes every text on the line of its key, so that a comment can follow it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _ShortLists(_OneLineStrings):
    """Writes lists of plain values on the line of their key, too."""


def _one_line(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _short_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.SequenceNode:
    plain = all(isinstance(item, (str, int, float)) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=plain)


_OneLineStrings.add_representer(str, _one_line)
_ShortLists.add_representer(list, _short_list)
