"""Values against a pydantic model, with errors a person can act on."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError

from acclimate.errors import UserError, nearest

Model = TypeVar("Model", bound=BaseModel)
_LONGEST_SHOWN = 400


def validated(model: type[Model], values: Any, where: str) -> Model:
    """``values`` as a ``model``; every problem in one message, unknown keys with the nearest known one.

    Raises:
        UserError: something is missing, unknown or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: " + "; ".join(problems_in(error, model))) from None


def problems_in(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """What pydantic found wrong with the values of a ``model``, each as a demand; unknown keys come first."""
    problems = []
    items, types = error.errors(), _types_in(model)
    for item in sorted(items, key=lambda item: item["type"] != "extra_forbidden"):
        key = ".".join(_keys(item["loc"], types))
        if _vague(item) and any(other["loc"][:1] == item["loc"][:1] and not _vague(other) for other in items):
            continue  # another form of the value was meant, and what is wrong inside it is told anyway
        if item["type"] == "value_error":  # our own validators say all there is to say
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"{key}: {message}" if key and not message.startswith(key) else message)
        elif item["type"] == "extra_forbidden":
            known = sorted(_fields_at(model, item["loc"][:-1]))
            hint = nearest(str(item["loc"][-1]), known)
            problems.append(f"unknown key {key!r}{hint} (known: {', '.join(known)})")
        elif item["type"] == "missing":
            problems.append(f"the key {key!r} is missing")
        else:
            problems.append(f"{key or 'the whole'} {_demand(item)} (got {_shown(item['input'])})")
    return list(dict.fromkeys(problems))


def _shown(value: Any) -> str:
    """A value as it was given, shortened: it may be a whole file."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} …"


def _keys(location: Sequence[Any], types: Collection[str]) -> list[str]:
    """The keys a person wrote, without the members of unions that pydantic tried (``str``, ``list[Row]``, ``Row``)."""
    tried = [part for part in location[1:] if isinstance(part, str) and ("[" in part or part in types)]
    return [str(part) for part in location if part not in tried]


def _types_in(model: type[BaseModel]) -> set[str]:
    """The names that pydantic may give the members of unions within a model."""
    found = {"str", "int", "float", "bool"}
    for field in model.model_fields.values():
        for inner in _unwrapped(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not model:
                found |= {inner.__name__, *_types_in(inner)}
    return found


def _vague(item: Any) -> bool:
    """Whether a problem only says that a value has not one of the forms it may have."""
    return item["type"] in ("string_type", "model_type", "list_type", "dict_type")


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
