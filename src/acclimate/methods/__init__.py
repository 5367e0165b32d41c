"""The methods: every class in a file of this folder that has a name."""

from __future__ import annotations

from typing import Any

from acclimate.errors import unknown
from acclimate.io.plugins import added, names_added, shipped
from acclimate.io.validation import validated
from acclimate.methods.base import (
    AdaptingOptions,
    Losses,
    Method,
    MethodOptions,
    PseudoLabelOptions,
    Setting,
    Statistic,
    Term,
)

METHODS: dict[str, type[Method]] = shipped("acclimate.methods", Method)  # type: ignore[type-abstract]
"""Every method by name; one more file is one more method."""


def method_class(name: str) -> type[Method]:
    """The method registered under ``name``, here or by an installed package.

    Raises:
        UserError: no method has that name.
    """
    if name in METHODS:
        return METHODS[name]
    found = added("acclimate.methods", name, Method)  # type: ignore[type-abstract]
    if found is None:
        raise unknown("method", name, [*METHODS, *names_added("acclimate.methods")])
    return found


def method_options(name: str, values: dict[str, Any]) -> MethodOptions:
    """The validated options of a method.

    Raises:
        UserError: options are unknown (the nearest known one is named) or out of their range; all are listed.
    """
    return validated(method_class(name).Options, values, f"method {name}")


__all__ = [
    "METHODS",
    "AdaptingOptions",
    "Losses",
    "Method",
    "MethodOptions",
    "PseudoLabelOptions",
    "Setting",
    "Statistic",
    "Term",
    "method_class",
    "method_options",
]
