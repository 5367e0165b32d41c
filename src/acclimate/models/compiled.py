"""Networks whose layers are compiled, and networks that make their activations again instead of keeping them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from acclimate.errors import UserError
from acclimate.models.network import Output, SegmentationNetwork

log = logging.getLogger(__name__)

BACKEND = "inductor"
"""What `torch.compile` compiles with."""
_WEIGHTY = (nn.Conv1d, nn.Conv2d, nn.Linear)


def compile_layers(network: SegmentationNetwork, *, required: bool = False) -> None:
    """Compiles what a network does in training mode; predictions and snapshots stay as they are.

    Each size of picture is compiled for itself, at its first step. Parameters, their names and hooks do not change.

    Args:
        required: whether a compiler that fails is the user's error; otherwise it is told, and the training goes on
            without.
    """
    as_it_is = network.segment
    compiled: Any = torch.compile(as_it_is, dynamic=False, backend=BACKEND)
    works = True

    def segment(images: Tensor) -> Output:
        nonlocal works
        if not network.training or not works:
            return as_it_is(images)
        try:
            output: Output = compiled(images)
        except (UserError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if required:
                raise UserError(
                    f"training.compile=always, but {network.name} does not compile on this machine ({reason}); set "
                    "training.compile=never"
                ) from error
            log.warning("%s does not compile here and trains as it is (%s)", network.name, reason)
            works = False
            return as_it_is(images)
        return output

    network.segment = segment  # type: ignore[method-assign]


def recompute_activations(network: nn.Module) -> int:
    """Makes the blocks of a network keep their inputs alone and compute the rest again on the way back.

    The arithmetic is the same, bit by bit: dropout draws the same again, and batch norms move their running statistics
    once. A block is an element of a list of layers with two or more convolutions or linear layers.

    Returns:
        How many blocks there are; 0 where nothing was changed.
    """
    found = list(blocks(network))
    for block in found:
        _recompute(block)
    return len(found)


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The innermost blocks."""
    for child in module.children():
        inner = list(blocks(child))
        listed = isinstance(module, (nn.Sequential, nn.ModuleList))
        if inner:
            yield from inner
        elif listed and sum(isinstance(layer, _WEIGHTY) for layer in child.modules()) > 1:
            yield child


def _recompute(block: nn.Module) -> None:
    as_it_is = block.forward

    def forward(*inputs: Any, **settings: Any) -> Any:
        if not torch.is_grad_enabled() or not block.training:
            return as_it_is(*inputs, **settings)
        return checkpoint(
            as_it_is,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _running_statistics_stay(block)),
            **settings,
        )

    block.forward = forward


@contextmanager
def _running_statistics_stay(block: nn.Module) -> Iterator[None]:
    """Batch norms move copies of their running statistics, which are forgotten."""
    layers = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    kept = [dict(layer._buffers) for layer in layers]
    for layer in layers:
        layer._buffers.update({key: None if value is None else value.clone() for key, value in layer._buffers.items()})
    try:
        yield
    finally:
        for layer, buffers in zip(layers, kept, strict=True):
            layer._buffers.update(buffers)
