"""Optimisers of networks and discriminators, with the field's published defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import nn
from torch.optim import Optimizer
from typing_extensions import Self

from acclimate.methods.repeated_sgd import Arithmetic, RepeatedSGD
from acclimate.models.network import ParameterGroup
from acclimate.models.sharded import parts_like


class Grouped(Protocol):
    """A network that says which of its parameters share a learning rate."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Each trainable parameter once."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Each parameter with its place in the network, parts joined by dots."""
        ...


class OptimizerSettings(BaseModel):
    """How the segmentation network is optimised; the defaults are AdaptSegNet's and ADVENT's.

    Attributes:
        kind: ``sgd`` as published, or ``adamw`` for transformers and small networks trained from scratch.
        learning_rate: of the body; heads get the network's own multiple of it (10 for DeepLab-V2).
        momentum: of SGD; AdamW ignores it.
        betas: of AdamW; SGD ignores them.
        weight_decay: 5e-4 in the published codes (the ADVENT and ESL papers print 1e-4).
        body_repeats: how often a step moves a parameter of the body: ``none``: once. The code of AdaptSegNet, ADVENT,
            BDL, DACS, FDA, MaxSquare and CLAN hands its optimiser each convolution of the body once for every module
            that holds it (three times, the shortcuts four times), and SGD steps each time, see
            :mod:`acclimate.methods.repeated_sgd`: as ``pytorch-0.4`` did, which the published numbers come from, or as
            ``pytorch-2`` does with the same code.
        discriminator_learning_rate: of Adam for discriminators, betas (0.9, 0.99), no weight decay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 2.5e-4
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 5e-4
    body_repeats: Literal["none"] | Arithmetic = "none"
    discriminator_learning_rate: PositiveFloat = 1e-4

    @model_validator(mode="after")
    def _repeats_are_sgd(self) -> Self:
        if self.kind != "sgd" and self.body_repeats != "none":
            raise ValueError(f"body_repeats is a habit of the published SGD; with kind: {self.kind} set it to none")
        return self


def network_optimizer(network: Grouped, settings: OptimizerSettings) -> Optimizer:
    """The optimiser of a network, one group per learning-rate multiple.

    Each group keeps its starting rate under ``initial_lr``, from which the schedule computes the current one.
    """
    groups = [
        {
            "params": list(group.params),
            "lr": settings.learning_rate * group.learning_rate_multiple,
            "weight_decay": settings.weight_decay * group.weight_decay_multiple,
        }
        for group in network.parameter_groups()
    ]
    optimizer: Optimizer
    if settings.kind == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=_can_fuse(groups))
    elif settings.body_repeats == "none":
        optimizer = torch.optim.SGD(
            groups, lr=settings.learning_rate, momentum=settings.momentum, fused=_can_fuse(groups)
        )
    else:
        heads = {id(p) for group in network.parameter_groups() if group.name.startswith("heads") for p in group.params}
        times = {id(p): holding_modules(name) for name, p in network.named_parameters() if id(p) not in heads}
        optimizer = RepeatedSGD(
            [part for group in groups for part in _by_repeats(group, times)],
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            arithmetic=settings.body_repeats,
        )
    return remember_initial_rates(optimizer)


def holding_modules(name: str) -> int:
    """How many modules of the nested walk hold the parameter of that name, itself not counted among them.

    The published code walks over all modules of each direct child of the network and lists the parameters of each:
    ``conv1.weight`` once, ``layer1.0.conv2.weight`` three times (of the layer, the block and the convolution),
    ``layer1.0.downsample.0.weight`` four times. A backbone that is a part of its own is walked over like the network.
    """
    return max(1, name.removeprefix("backbone.").count("."))


def _by_repeats(group: dict[str, Any], times: dict[int, int]) -> list[dict[str, Any]]:
    """The group in parts of parameters that are stepped equally often; those without a number, once."""
    parts: dict[int, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        parts.setdefault(times.get(id(parameter), 1), []).append(parameter)
    return [{**group, "params": params, "repeats": count} for count, params in sorted(parts.items())]


def discriminator_optimizer(discriminators: Iterable[nn.Module], settings: OptimizerSettings) -> Optimizer:
    """Adam over the given discriminators (betas 0.9 and 0.99, AdaptSegNet section 4.3 of its published settings)."""
    params = [p for module in discriminators for p in module.parameters()]
    fused = _can_fuse([{"params": params}])
    optimizer = torch.optim.Adam(params, lr=settings.discriminator_learning_rate, betas=(0.9, 0.99), fused=fused)
    return remember_initial_rates(optimizer)


def _can_fuse(groups: Iterable[dict[str, Any]]) -> bool:
    """Whether one kernel may step all parameters: a half to a third of the time of one operation after the other."""
    return all(p.is_floating_point() and not p.is_meta for group in groups for p in group["params"])


def make_ready(optimizer: Optimizer) -> None:
    """Sees to what fused optimisers take for granted, before a step.

    They go through the memory of weights and gradients side by side and never look at how it is laid out: gradients
    exchanged in another layout would be added to other weights. And those with momentum take no parameter that learns
    for the first time beside others that have learnt before; its momentum of 0 is what it would begin with.
    """
    for group in optimizer.param_groups:
        params = [parameter for parameter in group["params"] if parameter.grad is not None]
        for parameter in params:
            if not _alike(parameter.grad, parameter):
                parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)
        if group.get("fused") and group.get("momentum"):
            new = [p for p in params if optimizer.state[p].get("momentum_buffer") is None]
            for parameter in new if len(new) < len(params) else []:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def lay_out_moments(optimizer: Optimizer) -> None:
    """Gives the moments that a checkpoint held the memory layout of their parameters, for the same reason."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor) and value.ndim > 0 and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(parts_like(value, parameter))


def _alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors of one shape have their elements at the same places."""
    strides = zip(first.shape, first.stride(), second.stride(), strict=True)
    return all(size == 1 or one == other for size, one, other in strides)


def remember_initial_rates(optimizer: Optimizer) -> Optimizer:
    """Keeps each group's rate as the one schedules start from."""
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
