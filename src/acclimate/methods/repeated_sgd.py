"""SGD that steps some parameters several times, as it does where a parameter is listed several times.

The published codes list the convolutions of ResNet-101 three or four times, see
:class:`acclimate.methods.optimizers.OptimizerSettings`. Every occurrence adds weight decay to the gradient, moves the
momentum and takes a step, one after the other; a constant gradient moves such a parameter three or four times as far.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Arithmetic = Literal["pytorch-0.4", "pytorch-2"]


class RepeatedSGD(Optimizer):
    """SGD with momentum whose groups say how often a step moves their parameters.

    With the gradient g, the weights w, the momentum v, its factor m, weight decay d and the rate r, an occurrence is
    v = m v + (g + d w), w = w - r v. The two arithmetics differ in this:

    - ``pytorch-0.4`` (up to 1.4) adds weight decay to the gradient in place, so that the second occurrence carries that
      of the first as well, and its first step already shares one momentum: with m = 0.9 and three occurrences it is
      5.61 times as long as a single one's;
    - ``pytorch-2`` adds each occurrence's own weight decay, and in the first step every occurrence begins a momentum of
      its own, of which the last one is kept.

    Args:
        groups: ``params``, each once, and perhaps ``lr``, ``weight_decay`` and ``repeats`` (1).
        learning_rate, momentum: of groups that do not say.
        arithmetic: see above.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, learning_rate: float, momentum: float, arithmetic: Arithmetic
    ) -> None:
        super().__init__(groups, {"lr": learning_rate, "momentum": momentum, "weight_decay": 0.0, "repeats": 1})
        self.arithmetic = arithmetic

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
        for group in self.param_groups:
            params = [parameter for parameter in group["params"] if parameter.grad is not None]
            if params:
                self._move(params, group)

    def _move(self, params: list[Tensor], group: dict[str, Any]) -> None:
        old = self.arithmetic == "pytorch-0.4"
        momenta: list[Tensor | None] = [self.state[parameter].get("momentum_buffer") for parameter in params]
        gradients: list[Tensor] = [parameter.grad for parameter in params if parameter.grad is not None]
        moved: list[Tensor] = []
        for _ in range(group["repeats"]):
            decayed = list(torch._foreach_add(gradients, params, alpha=group["weight_decay"]))
            moved = [
                value.clone() if momentum is None else momentum.mul_(group["momentum"]).add_(value)
                for momentum, value in zip(momenta, decayed, strict=True)
            ]
            torch._foreach_add_(params, moved, alpha=-group["lr"])
            if old:
                gradients, momenta = decayed, [*moved]
        for parameter, momentum in zip(params, moved, strict=True):
            self.state[parameter]["momentum_buffer"] = momentum
