"""Modules a method keeps beside its network, such as the classifier of pseudo weak-labels, for the next round."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import nn

from acclimate.errors import UserError
from acclimate.io.tensors import read_tensors_with_card, write_tensors

_KEY = "acclimate-modules"


class _HasModules(Protocol):
    def saved_modules(self) -> dict[str, nn.Module]: ...


def save_modules(path: Path, method: _HasModules) -> None:
    """Writes all tensors of ``method.saved_modules()`` to one safetensors file; no file where there is none."""
    tensors = {
        f"{name}.{key}": value
        for name, module in method.saved_modules().items()
        for key, value in module.state_dict().items()
    }
    if tensors:
        write_tensors(path, tensors, key=_KEY, card={"format": 1})


def load_modules(path: Path, method: _HasModules) -> None:
    """Restores what an earlier stage saved; modules it did not save keep their initial weights.

    Raises:
        UserError: the file is damaged, or holds modules of another shape.
    """
    modules = method.saved_modules()
    if not modules or not path.is_file():
        return
    remedy = "run the stage that wrote it again, or delete that file to begin with fresh modules"
    _, tensors = read_tensors_with_card(path, key=_KEY, remedy=remedy)
    try:
        for name, module in modules.items():
            state = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            if state:
                module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit the method that starts from it ({error}); start from a stage of the same method and "
            "network, or delete that file to begin with a fresh classifier"
        ) from error
