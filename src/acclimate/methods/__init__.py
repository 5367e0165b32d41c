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
<<<<<<< HEAD

METHODS: dict[str, type[Method]] = shipped("acclimate.methods", Method)  # type: ignore[type-abstract]
"""Every method by name; one more file is one more method."""
=======
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
        SelfDistillation,
        WeakLabels,
    )
}
"""Every method by name; adding one here is all that registering takes."""
>>>>>>> systems


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
