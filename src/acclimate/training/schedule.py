"""Learning-rate schedules: one model for segmentation, detection and translation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch.optim import Optimizer


class Schedule(BaseModel):
    """What every starting learning rate is multiplied by at a step.

    Attributes:
        kind: ``poly``: (1 - step / horizon) ** power, as DeepLab and most of the field; ``constant``: 1; ``linear``:
            from 1 to 0 (CycleGAN with ``hold: 0.5``, DAFormer with a warm-up); ``cosine``: half a cosine from 1 to 0;
            ``steps``: divided by ten at each milestone (SSD).
        power: of ``poly``; 0.9 published.
        horizon: the step at which a falling schedule reaches 0. The published codes use 250,000 and stop at 120,000 to
            150,000. None: the training's steps.
        hold: share of the horizon at the full rate before ``linear`` or ``cosine`` begins to fall.
        milestones: of ``steps``.
        warmup_steps: steps over which the rate rises linearly to what the schedule says; the last of them has all of it
            (the code of DAFormer and its successors is one step behind).
        warmup_factor: what it rises from, as a factor of the rate; the first step is already above it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["poly", "constant", "linear", "cosine", "steps"] = "poly"
    power: NonNegativeFloat = 0.9
    horizon: PositiveInt | None = None
    hold: float = Field(default=0.0, ge=0.0, le=1.0)
    milestones: tuple[PositiveInt, ...] = ()
    warmup_steps: NonNegativeInt = 0
    warmup_factor: float = Field(default=0.0, ge=0.0, le=1.0)

    def factor(self, step: int, *, steps: int) -> float:
        """The factor at ``step`` (from 0) of a training of ``steps``."""
        factor = self._factor(step, horizon=self.horizon or steps)
        if step < self.warmup_steps:
            factor *= self.warmup_factor + (1.0 - self.warmup_factor) * (step + 1) / self.warmup_steps
        return factor

    def _factor(self, step: int, *, horizon: int) -> float:
        if self.kind == "poly":
            return float(max(0.0, 1.0 - step / horizon) ** self.power)
        if self.kind == "constant":
            return 1.0
        if self.kind == "steps":
            return float(0.1 ** sum(step >= milestone for milestone in self.milestones))
        held = horizon - round((1.0 - self.hold) * horizon)
        if step < held:
            return 1.0
        left = max(0.0, 1.0 - (step - held) / max(1, horizon - held))
        return left if self.kind == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))


def set_learning_rates(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Sets every group's rate to its starting rate times ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
