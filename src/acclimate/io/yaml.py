"""YAML from files: plain values only, no key twice, and nothing that a few lines could blow up to."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from acclimate.errors import UserError
from acclimate.io.reading import Readable, text_of

MAX_CHARACTERS = 1_000_000
MAX_NODES = 100_000
"""Values that a text may stand for once its aliases are written out: ten nested aliases can mean billions."""
MAX_DEPTH = 100

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same language, ten times as fast
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _Loader(_Base):  # type: ignore[misc]
    """Plain values; numbers as people read them: no base 60 (``1:30`` is a text), no octal (``010`` is a text)."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """A number that is written as one, with or without a tag."""
        text = str(node.value)
        if not (_WHOLE if node.tag == _INT else _BROKEN).match(text) and not _WHOLE.match(text):
            raise yaml.YAMLError(f"{text[:40]!r} is no number")
        return self.construct_yaml_int(node) if node.tag == _INT else self.construct_yaml_float(node)


_WHOLE = re.compile(r"^[-+]?(?:0|[1-9][0-9_]{0,40}|0x[0-9a-fA-F_]{1,16})$")
_BROKEN = re.compile(
    r"^(?:[-+]?[0-9][0-9_]{0,40}\.[0-9_]{0,40}(?:[eE][-+][0-9]{1,4})?|[-+]?\.[0-9][0-9_]{0,40}(?:[eE][-+][0-9]{1,4})?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.add_implicit_resolver(_INT, _WHOLE, list("-+0123456789"))
_Loader.add_implicit_resolver(_FLOAT, _BROKEN, list("-+0123456789."))
_Loader.add_constructor(_INT, _Loader.construct_number)
_Loader.add_constructor(_FLOAT, _Loader.construct_number)


def load_yaml(text: str) -> Any:
    """The plain values (mappings, lists, texts, numbers) of a YAML text; no tag in it can make anything else.

    Raises:
        yaml.YAMLError: it is not YAML, has a key twice, or is larger, deeper or more repetitive than any recipe.
        ValueError: it holds a date that does not exist.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text)} characters, more than the {MAX_CHARACTERS} that are read")
    try:
        _bounded(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _expanded(node, {}, 0)
            _without_repeated_keys(node, loader)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (LookupError, TypeError, AttributeError) as error:  # what the constructors raise on strange scalars and keys
        raise yaml.YAMLError(f"it holds a value that means nothing ({type(error).__name__}: {error})") from None


def read_yaml(place: Readable) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: it is missing, no regular file, too large, or not YAML as :func:`load_yaml` reads it.
    """
    text = text_of(place, most=4 * MAX_CHARACTERS)
    try:
        return load_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{place} cannot be read as YAML: {error}") from error


def _bounded(text: str) -> None:
    """Counts before anything is built: a megabyte of commas is half a million values."""
    nodes = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} deep")
        if nodes > MAX_NODES:
            raise yaml.YAMLError(f"it has more than the {MAX_NODES} values that are read")


def _without_repeated_keys(root: yaml.Node, loader: Any) -> None:
    """Refuses a mapping that gives a key twice, of which YAML would silently keep the last."""
    pending, seen = [root], set[int]()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        keys: dict[Hashable, int] = {}
        for key, value in node.value:
            pending.extend((key, value))
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = loader.construct_object(key), key.start_mark.line + 1
            if name in keys:
                raise yaml.YAMLError(
                    f"the key {key.value!r} is given in line {keys[name]} and in line {line}; keep one"
                )
            keys[name] = line


def _expanded(node: yaml.Node, known: dict[int, int | None], depth: int) -> int:
    """How many nodes ``node`` is with its aliases written out."""
    if depth > MAX_DEPTH:
        raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} deep")
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise yaml.YAMLError("it holds an alias that contains itself")
        return count
    known[id(node)] = None
    total = 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_expanded(part, known, depth + 1) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_expanded(part, known, depth + 1) for part in node.value)
    if total > MAX_NODES:
        raise yaml.YAMLError(f"its aliases stand for more than {MAX_NODES} values")
    known[id(node)] = total
    return total
