"""Bad numbers and bad signs of a training: the first stop it, the second are warned about, once each."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.doctor.findings import FINDINGS, Finding, read_findings
from acclimate.doctor.training import (
    LONG,
    discriminator_finding,
    kept_share_finding,
    risen_loss_finding,
    swallowing_finding,
    vanished_classes_finding,
)
from acclimate.errors import UserError
from acclimate.io.checksums import write_verified_json
from acclimate.methods.trainable import KEPT_SHARE, Learner, Role
from acclimate.models.network import Output

log = logging.getLogger(__name__)


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
        folder: where ``findings.json`` keeps what was said; None: nowhere. What it holds of a training that goes on is
            not said again.
    """

    def __init__(
        self, method: Learner[Any], *, rows: Sequence[Mapping[str, float]], folder: Path | None = None
    ) -> None:
        self._network: nn.Module | None = getattr(method, "network", None)
        self._rows = rows
        kind = getattr(getattr(method, "options", None), "adversarial_loss", "vanilla")
        self._chance = 0.25 if kind == "least-squares" else math.log(2)
        self._class_names: Sequence[str] = getattr(getattr(method, "setting", None), "class_names", ())
        self._counts: Tensor | None = None
        self._shares: list[Tensor] = []
        self._told: dict[tuple[str, str], Finding] = {}
        self._path = folder / FINDINGS if folder else None
        self._gone: set[str] = set()
        if self._path is not None:
            last = rows[-1]["step"] if rows else 0
            kept = {
                (found.kind, found.about): found for found in read_findings(self._path) if (found.step or 0) <= last
            }
            self._told = kept
            vanished = [found.about for found in kept.values() if found.kind == "class vanished"]
            self._gone = {name for about in vanished for name in about.split(", ")}
            if not kept:
                self._path.unlink(missing_ok=True)

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
        step = int(self._rows[-1]["step"]) if self._rows else 0
        recent = self._rows[-LONG:]
        for name, role in roles.items():
            if not all(name in row for row in recent):
                continue
            values = [row[name] for row in recent]
            if role == "discriminator":
                self._tell(discriminator_finding(name, values, chance=self._chance, step=step))
            elif name == KEPT_SHARE:
                self._tell(kept_share_finding(name, values, step=step))
            elif role == "supervised":
                whole = [row[name] for row in self._rows if name in row]
                self._tell(risen_loss_finding(name, whole, step=step))
        if len(self._shares) > LONG:
            self._look_at_classes(step)

    def _look_at_classes(self, step: int) -> None:
        shares = torch.stack(self._shares)
        names = self._class_names or [str(index) for index in range(shares.shape[1])]
        if len(self._shares) >= 2 * LONG:
            before = shares[:-LONG].topk(LONG, dim=0).values[-1]
            before[[index for index, name in enumerate(names) if name in self._gone]] = 0.0
            found = vanished_classes_finding(before.tolist(), shares[-LONG:].amax(dim=0).tolist(), names, step=step)
            if found is not None:
                self._gone.update(found.about.split(", "))
                self._tell(found)
        if len(self._shares) >= 3 * LONG:  # a network may well begin with one class
            self._tell(swallowing_finding(shares[-LONG:].amin(dim=0).tolist(), names, step=step))

    def _tell(self, finding: Finding | None) -> None:
        if finding is None or (about := (finding.kind, finding.about)) in self._told:
            return
        self._told[about] = finding
        log.warning("%s", finding.sentence())
        if self._path is not None:
            said = [each.model_dump(mode="json") for each in self._told.values()]
            write_verified_json(self._path, {"findings": said})
