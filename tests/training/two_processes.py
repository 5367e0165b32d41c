"""Run by test_processes.py under torchrun: what two processes must agree on; leaves one file per rank."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric

sys.path.insert(0, str(Path(__file__).parents[1] / "methods"))

from toy import ToyNetwork, batch, make_method, target_batch

from acclimate.data.sample import Batch
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import History
from acclimate.training.interrupt import Interrupted
from acclimate.training.loop import Position, fit, train_step
from acclimate.training.settings import TrainingSettings


def share(whole: Batch, rank: int, world: int) -> Batch:
    """This process's part of a batch, in float64."""
    count = len(whole.names) // world
    part = slice(rank * count, (rank + 1) * count)
    labels = None if whole.labels is None else whole.labels[part]
    return Batch(whole.images[part].double(), labels, whole.names[part])


def gradients_of_a_step(rank: int, world: int, fabric: Fabric) -> dict[str, torch.Tensor]:
    """Gradients after one AdvEnt step without batch norm, whose statistics are each process's own."""
    method = make_method("advent", ToyNetwork(multi_level=True, batch_norm=None), class_prior_weight=1.0).double()
    source, target = batch(0, void=0.0), target_batch(0)
    train_step(method, share(source, rank, world), share(target, rank, world), 0, fabric=fabric)
    return {name: p.grad for name, p in method.named_parameters() if p.grad is not None}


def interrupted_at(fabric: Fabric, folder: Path) -> str:
    """One process alone is told to stop, at its third step; both have to, after the same step."""

    def source() -> Iterator[Batch]:
        for step in range(50):
            if step == 2 and fabric.global_rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch(step)

    try:
        fit(
            make_method("source_only"),
            source=source(),
            target=None,
            # the clocks disagree: only the second process thinks that it is time for a checkpoint
            settings=TrainingSettings(steps=50, checkpoint_minutes=0.0 if fabric.global_rank else 60.0),
            fabric=fabric,
            checkpoints=Checkpoints(folder),
            history=History(folder, tensorboard=False),
            position=Position(),
            seed=0,
            title="toy",
        )
    except Interrupted as error:
        return str(error)
    return "not interrupted"


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp", precision="64-true")
    fabric.launch()
    rank = fabric.global_rank
    result = {
        "world": fabric.world_size,
        "gradients": gradients_of_a_step(rank, fabric.world_size, fabric),
        "message": interrupted_at(fabric, folder / "run"),
        "checkpoints": sorted(path.name for path in (folder / "run").glob("*.pt")),
    }
    torch.save(result, folder / f"rank-{rank}.pt")


if __name__ == "__main__":
    main()
