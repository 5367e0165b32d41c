"""What each of several processes keeps for itself, collected for the one checkpoint that all of them go on from."""

from __future__ import annotations

import io
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor


def gathered(state: Any, fabric: Fabric) -> list[Any]:
    """``state`` of every process, in the order of their ranks, on the CPU.

    All processes have to call this together. States may differ in size: each travels as bytes, padded to the longest.

    Args:
        state: nested lists and dicts of tensors and numbers.
    """
    if fabric.world_size == 1:
        return [state]
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8).to(fabric.device)
    lengths = [int(length) for length in _from_all(torch.tensor([len(content)], device=fabric.device), fabric)]
    padded = torch.zeros(max(lengths), dtype=torch.uint8, device=fabric.device)
    padded[: len(content)] = content
    return [_loaded(row[:length]) for row, length in zip(_from_all(padded, fabric), lengths, strict=True)]


def _from_all(tensor: Tensor, fabric: Fabric) -> list[Tensor]:
    received = [torch.empty_like(tensor) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(received, tensor)
    return received


def _loaded(content: Tensor) -> Any:
    return torch.load(io.BytesIO(content.cpu().numpy().tobytes()), map_location="cpu", weights_only=True)
