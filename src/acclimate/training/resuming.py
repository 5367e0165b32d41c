"""Going on from the newest checkpoint of a stage: exactly; in other numbers of processes to rounding, or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from acclimate.errors import UserError
from acclimate.methods.trainable import Learner
from acclimate.models.shared_batch_norm import normalises_alone
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import unpacked
from acclimate.training.loop import Position

log = logging.getLogger(__name__)


def resumed(method: Learner[Any], checkpoints: Checkpoints, fabric: Fabric) -> Position:
    """Restores the newest state that is whole, each process with what it alone owns.

    Returns:
        Where to go on; the beginning where there is no checkpoint.

    Raises:
        UserError: another number of processes began the training and the arithmetic depends on it, or a version that
            kept less of it.
    """
    state = checkpoints.newest()
    if state is None:
        return Position()
    method.train()  # which layers look at their batch
    own = method.process_state()
    ensure_processes_fit(method, state.get("processes", 1), fabric.world_size, checkpoints.folder)
    if (own and len(state.get("own", [])) != fabric.world_size) or "history" not in state:
        raise UserError(
            f"{checkpoints.folder} holds a training by another version of acclimate, whose checkpoints lack "
            f"{'what each process owns' if own else 'its history'}; delete that folder to begin anew, or go on with "
            "that version"
        )
    if own:
        method.load_process_state(state["own"][fabric.global_rank])
    method.load_method_state(state["method"])
    return Position(
        step=state["step"], seconds=state["seconds"], images=state["images"], history=unpacked(state["history"])
    )


def ensure_processes_fit(method: Learner[Any], before: int, now: int, folder: Path) -> None:
    """Refuses to go on with another number of processes where the result would be neither the one begun nor a new one.

    Where it would be the same but for rounding and draws, says so.

    Args:
        method: in training mode.
        before, now: numbers of processes.
        folder: of the training.

    Raises:
        UserError: batch norm looks at the images of one process alone, or each process owns something.
    """
    if before == now:
        return
    why = ""
    if method.process_state():
        why = "each of them owns pictures of its own translations"
    elif normalises_alone(method):
        why = "batch norm looks at the images of one process alone (training.sync_batch_norm looks at all)"
    if why:
        raise UserError(
            f"{folder} holds a training that {_processes(before)} began and {_processes(now)} would go on with, which "
            f"cannot be exact: {why}; start {before} again (--processes {before}), or delete that folder to begin anew"
        )
    log.warning(
        "%s: %s began this training and %s with it: samples stay the same, sums are rounded otherwise, and what is "
        "drawn within a step (dropout, masks, mixed classes) is drawn anew",
        folder,
        _processes(before),
        _processes(now) + (" go on" if now > 1 else " goes on"),
    )


def _processes(count: int) -> str:
    return f"{count} process{'es' * (count > 1)}"
