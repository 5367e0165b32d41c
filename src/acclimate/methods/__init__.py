"""The registry of methods: one file each."""

from __future__ import annotations

from typing import Any

from acclimate.errors import UserError, nearest, unknown
from acclimate.methods.adabn import AdaBN
from acclimate.methods.adaptsegnet import AdaptSegNet
from acclimate.methods.advent import AdvEnt
from acclimate.methods.base import AdaptingOptions, Losses, Method, MethodOptions, Setting
from acclimate.methods.minent import MinEnt
from acclimate.methods.oracle import Oracle
from acclimate.methods.source_only import SourceOnly

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (SourceOnly, AdaBN, Oracle, AdaptSegNet, MinEnt, AdvEnt)
}
"""Every method by name; adding one here is all that registering takes."""


def method_class(name: str) -> type[Method]:
    """The method registered under ``name``.

    Raises:
        UserError: no method has that name.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


def method_options(name: str, values: dict[str, Any]) -> MethodOptions:
    """The validated options of a method.

    Raises:
        UserError: an option is unknown (the nearest known one is named) or out of its range.
    """
    from pydantic import ValidationError

    options = method_class(name).Options
    for key in values:
        if key not in options.model_fields:
            known = sorted(options.model_fields)
            raise UserError(f"method {name} has no option {key!r}{nearest(key, known)} (known: {', '.join(known)})")
    try:
        return options(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"option {first['loc'][0]} of method {name}: {first['msg']} (got {first['input']!r})") from None


__all__ = [
    "METHODS",
    "AdaptingOptions",
    "Losses",
    "Method",
    "MethodOptions",
    "Setting",
    "method_class",
    "method_options",
]
