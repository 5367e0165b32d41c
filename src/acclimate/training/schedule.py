"""Learning-rate schedules."""

from __future__ import annotations

from collections.abc import Iterable

from torch.optim import Optimizer


def poly(step: int, *, steps: int, power: float = 0.9) -> float:
    """The factor (1 - step / steps) ** power of the published schedules; 0 from ``steps`` on."""
    return float(max(0.0, 1.0 - step / steps) ** power)


def set_learning_rates(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Sets every group's rate to its starting rate times ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
