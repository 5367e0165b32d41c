"""YAML from files: plain values only, and nothing that a few lines could blow up to."""

from __future__ import annotations

from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
MAX_NODES = 100_000
"""Values that a text may stand for once its aliases are written out: ten nested aliases can mean billions."""
MAX_DEPTH = 100


def load_yaml(text: str) -> Any:
    """The plain values (mappings, lists, texts, numbers) of a YAML text; no tag in it can make anything else.

    Raises:
        yaml.YAMLError: it is not YAML, or larger, deeper or more repetitive than any recipe.
        ValueError: it holds a date that does not exist.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text)} characters, more than the {MAX_CHARACTERS} that are read")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _expanded(node, {}, 0)
        return yaml.safe_load(text)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (LookupError, TypeError, AttributeError) as error:  # what the constructors raise on strange scalars and keys
        raise yaml.YAMLError(f"it holds a value that means nothing ({type(error).__name__}: {error})") from None


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
