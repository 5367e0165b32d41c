"""What a step does at once for all layers, instead of in each of them: casts of weights, counts of batches.

At the sizes that are trained, a GPU waits for the processor to launch its kernels. Autocast launches a cast for every
weight of every forward pass and another for its gradient, and every batch norm one that adds 1 to a counter. Here all
weights of a network are cast at once, once a step, their gradients likewise, and the counters move at the end of the
step. The numbers are the same, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

GROUP = 25 << 20
"""Bytes of trained weights whose gradients are cast together: their exchange between processes begins after that."""


@dataclass(frozen=True)
class _Weight:
    """A parameter that autocast would cast in every pass, and the layers that hold it, each under a name."""

    parameter: nn.Parameter
    places: list[tuple[nn.Module, str]] = field(default_factory=list)


class Together:
    """The casts and counts of some networks, from :meth:`begin` to :meth:`end`.

    In between a layer's attribute ``weight`` is the cast of the parameter of that name, which belongs to the module as
    before. Layers of other classes than PyTorch's own convolutions and linear layers may compute with their weights
    what is not cast, and are left as they are, as are a convolution's biases.

    Args:
        networks: none of whose parameters is frozen or thawed in between.
    """

    def __init__(self, *networks: nn.Module) -> None:
        self._begun = False
        layers = {id(layer): layer for network in networks for layer in network.modules()}
        self._groups = list(_grouped(_cast_by_autocast(layers.values())))
        self._batch_norms = [
            layer
            for layer in layers.values()
            if isinstance(layer, _BatchNorm) and layer.num_batches_tracked is not None and layer.momentum is not None
        ]

    def begin(self, device_type: str) -> None:
        """Casts, where autocast is on, and begins to count; nothing if that has been done."""
        if self._begun:
            return
        self._begun = True
        for norm in self._batch_norms:
            norm.__dict__["num_batches_tracked"] = _Count()
        if not torch.is_autocast_enabled(device_type):
            return
        dtype = torch.get_autocast_dtype(device_type)
        for group in self._groups:
            casts = _CastTogether.apply(dtype, *(each.parameter for each in group))
            for each, cast in zip(group, casts, strict=True):
                for layer, name in each.places:
                    layer.__dict__[name] = cast

    def end(self) -> None:
        """Forgets the casts and moves the counters; nothing if none has begun."""
        if not self._begun:
            return
        self._begun = False
        for group in self._groups:
            for each in group:
                for layer, name in each.places:
                    layer.__dict__.pop(name, None)
        counts: dict[int, list[Tensor]] = {}
        for norm in self._batch_norms:
            batches = norm.__dict__.pop("num_batches_tracked").batches
            if batches and norm.num_batches_tracked is not None:
                counts.setdefault(batches, []).append(norm.num_batches_tracked)
        for batches, counters in counts.items():
            torch._foreach_add_(counters, batches)


class _Count:
    """Stands for a batch norm's counter."""

    def __init__(self) -> None:
        self.batches = 0

    def add_(self, number: int) -> None:
        """What a batch norm does for each batch."""
        self.batches += number


class _CastTogether(torch.autograd.Function):
    """The parameters in another type, in one operation; their gradients back in theirs, in another."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.types = [parameter.dtype for parameter in parameters]
        casts = [torch.empty_like(parameter, dtype=dtype) for parameter in parameters]
        torch._foreach_copy_(casts, parameters)
        return tuple(casts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [
            (gradient, dtype) for gradient, dtype in zip(gradients, ctx.types, strict=True) if gradient is not None
        ]
        casts = [torch.empty_like(gradient, dtype=dtype) for gradient, dtype in given]
        if casts:
            torch._foreach_copy_(casts, [gradient for gradient, _ in given])
        casts.reverse()
        return None, *(None if gradient is None else casts.pop() for gradient in gradients)


def _cast_by_autocast(layers: Iterable[nn.Module]) -> list[_Weight]:
    found: dict[int, _Weight] = {}
    for layer in layers:
        names = {nn.Conv2d: ("weight",), nn.Linear: ("weight", "bias")}.get(type(layer), ())
        for name in names:
            parameter = layer._parameters.get(name)
            if parameter is not None and parameter.dtype == torch.float32:
                found.setdefault(id(parameter), _Weight(parameter)).places.append((layer, name))
    return list(found.values())


def _grouped(weights: list[_Weight]) -> Iterator[list[_Weight]]:
    """Frozen ones together, trained ones up to a size; what one backward pass completes lies together."""
    for trained, some in groupby(weights, lambda each: each.parameter.requires_grad):
        group: list[_Weight] = []
        size = 0
        for each in some:
            group.append(each)
            size += each.parameter.numel() * each.parameter.element_size()
            if trained and size >= GROUP:
                yield group
                group, size = [], 0
        if group:
            yield group
