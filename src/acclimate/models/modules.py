"""Modules a method keeps beside its network, such as the classifier of pseudo weak-labels, for the next round."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from acclimate.errors import UserError
from acclimate.io.files import write_bytes


class _HasModules(Protocol):
    def saved_modules(self) -> dict[str, nn.Module]: ...


def save_modules(path: Path, method: _HasModules) -> None:
    """Writes all tensors of ``method.saved_modules()`` to one safetensors file; no file where there is none."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, module in method.saved_modules().items()
        for key, value in module.state_dict().items()
    }
    if tensors:
        write_bytes(path, safetensors.torch.save(tensors))


def load_modules(path: Path, method: _HasModules) -> None:
    """Restores what an earlier stage saved; modules it did not save keep their initial weights.

    Raises:
        UserError: the file is damaged, or holds modules of another shape.
    """
    modules = method.saved_modules()
    if not modules or not path.is_file():
        return
    try:
        tensors = safetensors.torch.load_file(path)
        for name, module in modules.items():
            state = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            if state:
                module.load_state_dict(state)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(
            f"{path} does not fit the method that starts from it ({error}); start from a stage of the same method and "
            "network, or delete that file to begin with a fresh classifier"
        ) from error
