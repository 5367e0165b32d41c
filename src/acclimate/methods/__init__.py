"""The registry of methods: one file each."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from acclimate.errors import UserError, nearest, unknown
from acclimate.io.plugins import added, names_added
from acclimate.methods.adabn import AdaBN
from acclimate.methods.adaptsegnet import AdaptSegNet
from acclimate.methods.advent import AdvEnt
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
from acclimate.methods.crst import Crst
from acclimate.methods.dacs import Dacs
from acclimate.methods.daformer import DAFormer
from acclimate.methods.fda import Fda
from acclimate.methods.fine_grained import FineGrained
from acclimate.methods.max_square import MaxSquare
from acclimate.methods.minent import MinEnt
from acclimate.methods.oracle import Oracle
from acclimate.methods.self_distillation import SelfDistillation
from acclimate.methods.source_only import SourceOnly
from acclimate.methods.vfm_uda import VfmUda
from acclimate.methods.weak_labels import WeakLabels

Options = TypeVar("Options", bound=BaseModel)

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        SourceOnly,
        AdaBN,
        Oracle,
        AdaptSegNet,
        MinEnt,
        AdvEnt,
        FineGrained,
        Dacs,
        DAFormer,
        VfmUda,
        Fda,
        MaxSquare,
        Crst,
        SelfDistillation,
        WeakLabels,
    )
}
"""Every method by name; adding one here is all that registering takes."""


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
    return checked_options(name, method_class(name).Options, values)


def checked_options(name: str, options: type[Options], values: dict[str, Any]) -> Options:
    """``values`` as the options of the method ``name``; raises like :func:`method_options`."""
    from pydantic import ValidationError

    known = sorted(options.model_fields)
    problems = [
        f"method {name} has no option {key!r}{nearest(key, known)} (known: {', '.join(known)})"
        for key in values
        if key not in known
    ]
    try:
        checked = options(**{key: value for key, value in values.items() if key in known})
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            problems.append(f"option {key} of method {name}: {item['msg']} (got {item['input']!r})")
    if problems:
        raise UserError("; ".join(problems))
    return checked


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
    "checked_options",
    "method_class",
    "method_options",
]
