"""Values against a pydantic model, with errors a person can act on."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError

from acclimate.errors import UserError, nearest

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Any, where: str) -> Model:
    """``values`` as a ``model``; every problem in one message, unknown keys with the nearest known one.

    Raises:
        UserError: something is missing, unknown or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "string_type" and isinstance(item["input"], Mapping):
                continue  # a mapping in the place of a name or a mapping: what is wrong inside it is told anyway
            if item["type"] == "value_error":  # our own validators say all there is to say
                message = item["msg"].removeprefix("Value error, ")
                problems.append(f"{key}: {message}" if key else message)
            elif item["type"] == "extra_forbidden":
                known = sorted(_fields_at(model, item["loc"][:-1]))
                hint = nearest(str(item["loc"][-1]), known)
                problems.append(f"unknown key {key!r}{hint} (known: {', '.join(known)})")
            elif item["type"] == "missing":
                problems.append(f"the key {key!r} is missing")
            else:
                problems.append(f"{key or 'the whole'} {_demand(item)} (got {item['input']!r})")
        raise UserError(f"{where}: " + "; ".join(problems)) from None


_DEMANDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "tuple": "must be a list in brackets",
    "list": "must be a list in brackets",
    "dict": "must be keys with values",
    "mapping": "must be keys with values",
    "model": "must be keys with values",
}
"""What a value must be, by how pydantic's name of the problem begins (``int_parsing``, ``tuple_type``, …)."""


def _demand(item: Any) -> str:
    """A problem of pydantic's, as a demand on the value."""
    begin, _, kind = item["type"].partition("_")
    if begin in _DEMANDS and kind in ("type", "parsing", "from_float", "parsing_size", "attributes_type"):
        return _DEMANDS[begin]
    demand: str = item["msg"].replace("Input should be", "must be").replace("Input should", "must")
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        demand += nearest(item["input"], re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    return demand


def _fields_at(model: type[BaseModel], location: Sequence[Any]) -> set[str]:
    """The keys known where an unknown one was found, following the model's annotations."""
    here: list[Any] = [model]
    for part in location:
        found: list[Any] = []
        for candidate in here:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel) and part in candidate.model_fields:
                found.append(candidate.model_fields[part].annotation)
        here = [inner for annotation in found for inner in _unwrapped(annotation)] or here
    return {
        name
        for candidate in here
        if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        for name in candidate.model_fields
    }


def _unwrapped(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, Annotated, list, dict, tuple):
        return [inner for argument in typing.get_args(annotation) for inner in _unwrapped(argument)]
    return [annotation]
