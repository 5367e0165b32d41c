"""The verb ``train``: a method, a source, a target, perhaps pseudo-labels, perhaps a start -> a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from acclimate.detection.train import DetectionTrainRequest
from acclimate.methods import (
    Method,
)
from acclimate.methods.trainable import Trainable
from acclimate.models.modules import save_modules
from acclimate.stages.training import MODEL, MODULES, TrainRequest
from acclimate.training.allocator import keep_freed_memory
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import History
from acclimate.training.loop import Training, fit
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.resuming import resumed

LONGEST_WAIT = timedelta(days=7)
"""How long a process waits for the others."""


def train(
    request: TrainRequest | DetectionTrainRequest, *, folder: Path, cache: Path, fabric: Fabric
) -> dict[str, Any]:
    """Trains, or goes on training, in ``folder``; leaves ``model.safetensors`` and ``history.csv`` there.

    Returns:
        What it cost: ``train_seconds``, ``images_per_second``, ``peak_memory_mb``, ``steps``.

    Raises:
        UserError: data, options or checkpoints do not fit.
        Interrupted: asked to stop; the state is saved.
    """
    reset_peak_memory()
    if fabric.device.type == "cpu":
        keep_freed_memory()
    with fabric.rank_zero_first():  # what is computed once and kept is computed by one process
        method: Trainable[Any] = request.build_method(cache)
    method.to(fabric.device)
    if request.training.channels_last:
        method.network.to(memory_format=torch.channels_last)
        if isinstance(method, Method) and method.teacher is not None:
            method.teacher.to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(folder)
    position = resumed(method, checkpoints, fabric)
    source: Iterator[Any]
    target: Iterator[Any] | None
    with fabric.rank_zero_first():
        source, target = request.batches(position.step, cache=cache, fabric=fabric)
    snapshots = None
    if isinstance(request, TrainRequest):
        snapshots = request.snapshots(cast(Method, method), folder, device=str(fabric.device))
    with History(folder, rows=position.history, tensorboard=fabric.is_global_zero) as history:
        training = Training(
            method,
            settings=request.training,
            fabric=fabric,
            checkpoints=checkpoints,
            history=history,
            position=position,
            seed=request.seed,
            title=request.title,
            snapshots=snapshots,
        )
        fitted = fit(training, source, target)
    summary: dict[str, Any] = {
        "steps": request.training.steps,
        "train_seconds": round(fitted.seconds, 2),
        "images_per_second": round(fitted.images_per_second, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "processes": fabric.world_size,
    }
    if fabric.is_global_zero:
        save_modules(folder / MODULES, method)  # first: the model is what says that the stage is done
        request.save(folder / MODEL, cast(Any, method.result()))
        if snapshots is not None and (step := snapshots.install([MODULES, MODEL])) is not None:
            summary["chosen_step"] = step
    fabric.barrier()
    return summary


def launched_fabric(precision: str) -> Fabric:
    """The Fabric of this process: one device, or what ``torchrun`` or SLURM started.

    Args:
        precision: a resolved one, see :func:`acclimate.training.settings.resolved_precision`.
    """
    world = int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1")))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    fabric = Fabric(
        accelerator="auto",
        devices=local if world > 1 else 1,
        num_nodes=max(1, world // local),
        # one process may label or score for hours while the others wait; that one has died is torchrun's to notice
        strategy=DDPStrategy(timeout=LONGEST_WAIT) if world > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric
