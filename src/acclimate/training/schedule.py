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


def linear_decay(step: int, *, steps: int, constant: int) -> float:
    """The factor of CycleGAN's schedule: 1 for ``constant`` steps, then falling linearly to 0 at ``steps``."""
    return 1.0 if step < constant else max(0.0, 1.0 - (step - constant) / max(1, steps - constant))
