"""The methods: every class in a file of this folder that has a name."""

from __future__ import annotations

from typing import Any

from acclimate.io.plugins import named, shipped
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
    return named("method", name, METHODS, "acclimate.methods", Method)  # type: ignore[type-abstract]


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
