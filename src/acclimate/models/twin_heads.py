"""Two heads on the same features, whose logits are added (CLAN)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.models.network import SegmentationNetwork


class TwinHead(nn.Module):
    """Two heads of one shape; the second's weights are the first's in another order, so that both begin alike.

    Attributes:
        first, second: the heads.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.first, self.second = head, deepcopy(head)
        for parameter in self.second.parameters():
            if parameter.numel() > 1 and not parameter.is_meta:
                values = parameter.data.flatten()
                parameter.data = values[torch.randperm(len(values))].view_as(parameter).clone()
        for name in ("stride", "multiple"):
            if hasattr(head, name):
                setattr(self, name, getattr(head, name))
        self._parts: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Any) -> Tensor:
        """The sum of both heads' logits."""
        parts: tuple[Tensor, Tensor] = self.first(features), self.second(features)
        if self.training:
            self._parts = parts
        return parts[0] + parts[1]

    def taken_parts(self) -> tuple[Tensor, Tensor]:
        """What each head said in the last pass in training; once, so that the pass's memory is let go."""
        assert self._parts is not None, "no pass since the parts were taken"
        parts, self._parts = self._parts, None
        return parts

    def parameter_vectors(self) -> tuple[Tensor, Tensor]:
        """All weights and biases of each head, flattened into one vector."""
        first, second = (
            torch.cat([parameter.flatten() for parameter in head.parameters()]) for head in (self.first, self.second)
        )
        return first, second


def with_twin_head(network: SegmentationNetwork) -> SegmentationNetwork:
    """The same network, its main head doubled in place."""
    main = network.heads()[-1]
    place = next(name for name, module in network.named_modules() if module is main)
    parent, _, attribute = place.rpartition(".")
    setattr(network.get_submodule(parent), attribute, TwinHead(main))
    network.train(network.training)
    return network
