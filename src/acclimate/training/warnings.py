"""Bad numbers and bad signs of a training: the first stop it, the second are warned about, once each."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.methods.trainable import KEPT_SHARE, Learner, Role
from acclimate.models.network import Output

log = logging.getLogger(__name__)

LONG = 10
"""Rows of the history in a row that make a sign worth a warning."""
NEAR_ZERO = 0.01
"""A discriminator's loss below this means that it tells the domains apart without error."""
NEAR_CHANCE = 0.001
"""A discriminator's loss this near to chance means that it has learnt nothing; a working one stays further off."""
FEW = 0.01
"""A teacher that keeps a smaller share of the pixels than this, or all but this, teaches little."""
NOTEWORTHY = 0.001
"""The share of predicted pixels that a class must once have had for its vanishing to be a change."""


def ensure_finite(record: Mapping[str, Tensor], step: int, *, names: Sequence[str]) -> None:
    """Stops a training whose losses are no numbers any more.

    Args:
        record: loss name -> its value, scalars on one device.
        step: how many steps have been made, the one in question included.
        names: the images of the step's batches.

    Raises:
        UserError: a loss is NaN or infinite; names step, loss and images.
    """
    # one transfer from the device for all losses
    if not record or bool(torch.isfinite(torch.stack([value.detach().float() for value in record.values()])).all()):
        return
    name, value = next((name, float(value)) for name, value in record.items() if not math.isfinite(float(value)))
    raise UserError(
        f"the loss '{name}' is {value} at step {step}, on the images {', '.join(names)}: training has diverged; look "
        "at these images, lower training.optimizer.learning_rate or the loss's weight, or set "
        "training.precision=32-true; the last good checkpoint is kept"
    )


def ensure_finite_state(state: Any, step: int, *, where: str = "") -> None:
    """Keeps a diverged state from being saved over a good one.

    Args:
        state: nested mappings and sequences of tensors and numbers.

    Raises:
        UserError: a tensor holds NaN or infinity; names it.
    """
    if isinstance(state, Tensor):
        if state.is_floating_point() and not bool(torch.isfinite(state).all()):
            raise UserError(
                f"{where.lstrip('.')} holds values that are no numbers after step {step}, though the losses were still "
                "finite: training has diverged; lower training.optimizer.learning_rate, or set "
                "training.precision=32-true; the last good checkpoint is kept"
            )
    elif isinstance(state, Mapping):
        for key, value in state.items():
            ensure_finite_state(value, step, where=f"{where}.{key}")
    elif isinstance(state, (list, tuple)):
        for index, value in enumerate(state):
            ensure_finite_state(value, step, where=f"{where}.{index}")


class TrainingWarnings:
    """Looks at the rows of the history and at the classes predicted, and warns of each bad sign once.

    Args:
        method: the predictions of its network, if it has one, are counted during :meth:`predictions`.
        rows: the history's rows, which grow outside; a resumed training looks at those before its checkpoint too.
    """

    def __init__(self, method: Learner[Any], *, rows: Sequence[Mapping[str, float]]) -> None:
        self._network: nn.Module | None = getattr(method, "network", None)
        self._rows = rows
        kind = getattr(getattr(method, "options", None), "adversarial_loss", "vanilla")
        self._chance = 0.25 if kind == "least-squares" else math.log(2)
        self._counts: Tensor | None = None
        self._shares: list[Tensor] = []
        self._told: set[str] = set()

    @contextmanager
    def predictions(self, *, active: bool) -> Iterator[None]:
        """Counts the classes the network predicts during the block, at its own resolution."""
        if not active or self._network is None:
            yield
            return
        self._counts = None
        hook = self._network.register_forward_hook(self._count)
        try:
            yield
        finally:
            hook.remove()
        if self._counts is not None:
            self._shares.append((self._counts / self._counts.sum().clamp(min=1)).cpu())

    def _count(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Output):
            classes = output.logits.shape[1]
            counts = torch.bincount(output.logits.detach().argmax(dim=1).flatten(), minlength=classes).float()
            self._counts = counts if self._counts is None else self._counts + counts

    def look(self, roles: Mapping[str, Role]) -> None:
        """Warns of what the newest rows and predictions show.

        Args:
            roles: of the step's terms, by name.
        """
        recent = self._rows[-LONG:]
        if len(recent) == LONG:
            for name, role in roles.items():
                if not all(name in row for row in recent):
                    continue
                values, step = [row[name] for row in recent], int(recent[-1]["step"])
                if role == "discriminator":
                    self._look_at(name, values, step)
                elif name == KEPT_SHARE:
                    self._look_at_kept(values, step)
        if len(self._shares) > LONG:
            self._look_for_vanished()

    def _look_at(self, name: str, values: list[float], step: int) -> None:
        if all(value < NEAR_ZERO for value in values):
            self._tell(
                name,
                f"the loss '{name}' has stayed below {NEAR_ZERO} up to step {step}: the discriminator has won and "
                "teaches the network little; lower discriminator_learning_rate or raise the adversarial weight",
            )
        elif all(abs(value - self._chance) < NEAR_CHANCE for value in values):
            self._tell(
                name,
                f"the loss '{name}' has stayed at chance ({self._chance:.3f}) up to step {step}: the discriminator "
                "tells nothing apart; raise discriminator_learning_rate or lower the adversarial weight",
            )

    def _look_at_kept(self, values: list[float], step: int) -> None:
        if all(value < FEW for value in values):
            self._tell(
                "kept share low",
                f"the {KEPT_SHARE} has stayed below {100 * FEW:.0f} % up to step {step}: the teacher is sure of "
                "next to nothing, so the target teaches nothing; lower the confidence threshold or train the source "
                "model longer",
            )
        elif all(value > 1 - FEW for value in values):
            self._tell(
                "kept share high",
                f"the {KEPT_SHARE} has stayed above {100 * (1 - FEW):.0f} % up to step {step}: the teacher is sure of "
                "everything, right or wrong; raise the confidence threshold, and look at its predictions",
            )

    def _look_for_vanished(self) -> None:
        shares = torch.stack(self._shares)
        before, recent = shares[:-LONG].amax(dim=0), shares[-LONG:].amax(dim=0)
        for index in ((before > NOTEWORTHY) & (recent == 0)).nonzero().flatten().tolist():
            self._tell(
                f"class {index}",
                f"class {index} was predicted earlier in this training (up to {100 * float(before[index]):.1f} % of "
                f"the pixels) and not at all in the last {LONG} rows of the history; lower the weights of the adapting "
                "losses, or look whether the source shows the class",
            )

    def _tell(self, about: str, message: str) -> None:
        if about not in self._told:
            self._told.add(about)
            log.warning("%s", message)
