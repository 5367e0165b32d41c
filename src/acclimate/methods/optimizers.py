"""Optimisers of networks and discriminators, with the field's published defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat
from torch import nn
from torch.optim import Optimizer

from acclimate.models.network import ParameterGroup


class Grouped(Protocol):
    """A network that says which of its parameters share a learning rate."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Each trainable parameter once."""
        ...


class OptimizerSettings(BaseModel):
    """How the segmentation network is optimised; the defaults are AdaptSegNet's and ADVENT's.

    Attributes:
        kind: ``sgd`` as published, or ``adamw`` for transformers and small networks trained from scratch.
        learning_rate: of the body; heads get the network's own multiple of it (10 for DeepLab-V2).
        momentum: of SGD; AdamW ignores it.
        betas: of AdamW; SGD ignores them.
        weight_decay: 5e-4 in the published codes (the ADVENT and ESL papers print 1e-4).
        discriminator_learning_rate: of Adam for discriminators, betas (0.9, 0.99), no weight decay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 2.5e-4
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 5e-4
    discriminator_learning_rate: PositiveFloat = 1e-4


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
    if settings.kind == "sgd":
        optimizer = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    else:
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)
    return remember_initial_rates(optimizer)


def discriminator_optimizer(discriminators: Iterable[nn.Module], settings: OptimizerSettings) -> Optimizer:
    """Adam over the given discriminators (betas 0.9 and 0.99, AdaptSegNet section 4.3 of its published settings)."""
    params = [p for module in discriminators for p in module.parameters()]
    optimizer = torch.optim.Adam(params, lr=settings.discriminator_learning_rate, betas=(0.9, 0.99))
    return remember_initial_rates(optimizer)


def remember_initial_rates(optimizer: Optimizer) -> Optimizer:
    """Keeps each group's rate as the one schedules start from."""
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
