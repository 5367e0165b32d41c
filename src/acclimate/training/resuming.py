"""Going on from the newest checkpoint of a stage: exactly, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from acclimate.errors import UserError
from acclimate.methods.trainable import Learner
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import unpacked
from acclimate.training.loop import Position


def resumed(method: Learner[Any], checkpoints: Checkpoints, fabric: Fabric) -> Position:
    """Restores the newest state that is whole, each process with what it alone owns.

    Returns:
        Where to go on; the beginning where there is no checkpoint.

    Raises:
        UserError: another number of processes began the training, or a version that kept less of it.
    """
    state = checkpoints.newest()
    if state is None:
        return Position()
    ensure_same_processes(state.get("processes", 1), fabric.world_size, checkpoints.folder)
    own = method.process_state()
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


def ensure_same_processes(before: int, now: int, folder: Path) -> None:
    """Refuses to go on with another number of processes.

    Raises:
        UserError: each process normalises and drops out by its own images, so the result would be neither the one
            begun nor a new one.
    """
    if before != now:
        raise UserError(
            f"{folder} holds a training that {_processes(before)} began and {_processes(now)} would go on with, which "
            f"cannot be exact; start {before} again (torchrun --nproc-per-node={before}), or delete that folder to "
            "begin anew"
        )


def _processes(count: int) -> str:
    return f"{count} process{'es' * (count > 1)}"
