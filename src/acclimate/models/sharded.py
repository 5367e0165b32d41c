"""Networks whose parameters are shared out between processes (FSDP), each of which holds a part of every tensor.

A layer's parameters are whole while it computes and go back to their parts afterwards; gradients arrive as the parts of
their mean. What is written to a file is whole again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor

from acclimate.models.compiled import blocks


def shard_network(network: nn.Module, mesh: DeviceMesh) -> dict[nn.Parameter, nn.Parameter]:
    """Shares out a network's parameters, in place: those of each of its blocks together, then all others.

    Returns:
        Which parameter took the place of which.
    """
    from torch.distributed.fsdp import fully_shard

    before = dict(network.named_parameters(remove_duplicate=False))
    for module in (*blocks(network), network):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    after = dict(network.named_parameters(remove_duplicate=False))
    return {parameter: after[name] for name, parameter in before.items()}


def is_shared_out(module: nn.Module) -> bool:
    """Whether any of its parameters is a part of what several processes hold."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def whole(state: Any, *, kept: bool = True) -> Any:
    """The same nested mappings and lists with whole tensors on the CPU in the place of parts.

    All processes have to call this together, with the same state.

    Args:
        kept: whether this process wants them; otherwise its own parts are in their place.
    """
    if isinstance(state, DTensor):
        found = state.full_tensor()
        return found.cpu() if kept else state.to_local()
    if isinstance(state, dict):
        values = {key: whole(value, kept=kept) for key, value in state.items()}
        # a module's state is a dict of its own kind, with remarks that go with it: it stays where nothing changes
        return state if all(values[key] is value for key, value in state.items()) else values
    return [whole(value, kept=kept) for value in state] if isinstance(state, list) else state


def parts_like(value: Tensor, own: Tensor) -> Tensor:
    """``value``, whole, shared out as ``own`` is; as it is where ``own`` is whole too."""
    if not isinstance(own, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this process holds of each."""
    return [each.to_local() if isinstance(each, DTensor) else each for each in tensors]


@torch.no_grad()
def make_whole(network: nn.Module, *, kept: bool) -> None:
    """Gives a network its whole parameters back, on the CPU, for good; it is to be saved, not to be trained.

    Args:
        kept: whether this process wants them; otherwise it loses its own parts, too.
    """
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if isinstance(parameter, DTensor):
                found = whole(parameter, kept=kept)
                module._parameters[name] = nn.Parameter(found, requires_grad=False)
