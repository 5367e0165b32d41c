"""What the processes of one training tell each other: gradients, running statistics, when to stop, what each owns."""

from __future__ import annotations

import io
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.methods.trainable import Learner
from acclimate.models.shared_batch_norm import SharedBatchNorm


def average_gradients(method: Learner[Any], fabric: Fabric) -> None:
    """Replaces every gradient by its mean over the processes, in one exchange after the last backward pass."""
    # those that are shared out have parts of their mean already
    parameters = [p for p in method.parameters() if p.grad is not None and not isinstance(p, DTensor)]
    if not parameters:
        return
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    for parameter, chunk in zip(parameters, torch.split(mean, [p.numel() for p in parameters]), strict=True):
        parameter.grad = chunk.view_as(parameter)


def average_running_statistics(method: Learner[Any], fabric: Fabric) -> None:
    """Replaces running means and variances, and what a method moves likewise, by their mean over the processes.

    Each process normalises by the statistics of its own images; what all of them saw is what a network predicts with
    later, and what a checkpoint, which one process writes, has to hold for all.
    """
    buffers = [
        buffer
        for module in method.modules()
        if isinstance(module, _BatchNorm) and module.training and not isinstance(module, SharedBatchNorm)
        for buffer in (module.running_mean, module.running_var)
        if buffer is not None
    ] + method.averaged_buffers()
    if not buffers:
        return
    mean = fabric.all_reduce(torch.cat([buffer.flatten() for buffer in buffers]), reduce_op="mean")
    assert isinstance(mean, Tensor)
    for buffer, chunk in zip(buffers, torch.split(mean, [buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(chunk.view_as(buffer))


def agreed(stopping: bool, due: bool, *, fabric: Fabric) -> tuple[bool, bool]:
    """Both flags as soon as any process raises them: signals and clocks differ, and all must save at the same step."""
    if fabric.world_size == 1:
        return stopping, due
    flags = torch.tensor([float(stopping), float(due)], device=fabric.device)
    votes = fabric.all_reduce(flags, reduce_op="sum")
    assert isinstance(votes, Tensor)
    return bool(votes[0] > 0), bool(votes[1] > 0)


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
