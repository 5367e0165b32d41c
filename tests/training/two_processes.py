"""Run by test_processes.py under torchrun: what two processes must agree on; leaves one file per rank."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

sys.path.insert(0, str(Path(__file__).parents[1] / "methods"))

from toy import ToyNetwork, batch, make_method, target_batch

from acclimate.data.sample import Batch
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.methods.trainable import Learner, Losses, Term
from acclimate.models.network import Level, Output
from acclimate.models.sharded import local, make_whole, whole
from acclimate.models.shared_batch_norm import share_batch_norm
from acclimate.training import gradients
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.gradients import Exchanged, GradientExchange, exchange_of
from acclimate.training.history import History
from acclimate.training.interrupt import Interrupted
from acclimate.training.loop import Training, fit, train_step
from acclimate.training.placing import place
from acclimate.training.processes import gathered
from acclimate.training.resuming import resumed
from acclimate.training.settings import TrainingSettings
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import CycleGanOptions, TranslationTraining

TAUGHT = ("dacs", "daformer", "vfm_uda", "minent", "proda", "proda_distillation", "pycda", "adda", "dise")
"""Methods with a teacher, of their own or for masked consistency; some also step within a step or move buffers."""
EXCHANGED = ("advent", "dacs", "pycda", "adda")
"""Methods of one backward pass and of several, over discriminators and teachers, and that step within a step."""


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


def taught_by_a_teacher(name: str, fabric: Fabric) -> dict[str, Any]:
    """State and losses after three steps of a method with a teacher and masked consistency."""
    options: dict[str, Any] = {"teacher": {"threshold": 0.4, "decay": 0.5}, "masked_consistency": {"block": 20}}
    method = make_method(name, ToyNetwork(), **options).double()
    losses = []
    for step in range(3):
        source = share(batch(step, count=4), fabric.global_rank, fabric.world_size)
        target = share(batch(step, count=4, labels=False, domain=1), fabric.global_rank, fabric.world_size)
        terms = train_step(method, source, target, step, fabric=fabric)
        losses.append(terms["masked"].value)
    return {"modules": method.method_state()["modules"], "masked": torch.stack(losses)}


def weights_after_steps(name: str, fabric: Fabric, *, in_buckets: bool) -> dict[str, Any]:
    """State after four steps of a method, with gradients exchanged during or after the backward passes."""
    multi_level = name in ("advent", "adaptsegnet")
    method = make_method(name, ToyNetwork(multi_level=multi_level)).double()
    exchange = GradientExchange(method, fabric) if in_buckets else None
    for step in range(4):
        source = share(batch(step, count=4), fabric.global_rank, fabric.world_size)
        target = share(batch(step, count=4, labels=False, domain=1), fabric.global_rank, fabric.world_size)
        train_step(method, source, target, step, fabric=fabric, exchange=exchange)
    if exchange is not None:
        exchange.close()
    done = exchange.done if exchange is not None else Exchanged()
    figures = {"early": done.early, "buckets": done.buckets, "whole": done.whole}
    return {"modules": method.method_state()["modules"], **figures}


class Surprising(Learner[Batch]):
    """Two parameters; what is descended changes from step to step, and at one step from process to process."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        self.optimizers = {"both": torch.optim.SGD(self.parameters(), lr=1.0, weight_decay=0.5)}
        self.rank = rank

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        factor = 2.0 + self.rank
        yield {"a": Term((self.a * factor).sum())}
        if step == 1:
            yield {"once more": Term((self.a * 10 * factor).sum())}  # its bucket was sent
        if not (step == 2 and self.rank == 1) and step != 3:
            yield {"b": Term((self.b * factor).sum())}


def surprised(fabric: Fabric) -> dict[str, Any]:
    """Parameters after each of five unlike steps, which all begin at 1 and take the mean gradient and a half away."""
    learner = Surprising(fabric.global_rank)
    exchange = GradientExchange(learner, fabric)
    found: dict[str, Any] = {"a": [], "b": [], "whole": []}
    for step in range(5):
        with torch.no_grad():
            learner.a.fill_(1.0)
            learner.b.fill_(1.0)
        train_step(learner, batch(step), None, step, fabric=fabric, exchange=exchange)
        found["a"].append(learner.a[0].item())
        found["b"].append(learner.b[0].item())
        found["whole"].append(exchange.done.whole)
    exchange.close()
    return found


class Deeper(ToyNetwork):
    """With repeated blocks and a parameter of which the second process has no part."""

    def __init__(self) -> None:
        super().__init__(batch_norm="trained")
        self.token = nn.Parameter(torch.full((1, 6, 1, 1), 0.1))
        pairs = (nn.Sequential(nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)) for _ in range(2))
        self.blocks = nn.Sequential(*pairs)

    def segment(self, images: torch.Tensor) -> Output:
        features = torch.tanh(self.deep(torch.tanh(self.norm(self.stem(images))))) + self.token
        features = features + self.blocks(features)
        return Output({"main": Level(self.head(features), features)})


def shared_out(name: str, fabric: Fabric, *, stop: bool = False, mesh: Any = None, **settings: Any) -> dict[str, Any]:
    """Four steps of a method, perhaps stopped and gone on with after two, with and without parts of parameters."""
    optimizer = OptimizerSettings(learning_rate=0.01, kind="adamw" if name == "dacs" else "sgd")
    options: dict[str, Any] = {"masked_consistency": {}} if name == "dacs" else {}
    losses: list[float] = []
    state = None
    for steps in ((0, 1), (2, 3)) if stop else ((0, 1, 2, 3),):
        method = make_method(name, Deeper(), optimizer=optimizer, **options).double()
        place(method, TrainingSettings(**settings), torch.device("cpu"), mesh=mesh)
        method.train()
        if state is not None:
            method.load_method_state(state)
        with exchange_of(method, fabric) as exchange:
            for step in steps:
                source = share(batch(step, count=4), fabric.global_rank, fabric.world_size)
                target = share(batch(step, count=4, labels=False, domain=1), fabric.global_rank, fabric.world_size)
                terms = train_step(method, source, target, step, fabric=fabric, clip=0.5, exchange=exchange)
                losses += [term.value.item() for term in terms.values()]
        state = whole(method.method_state())
    moments = [each for group in method.optimizers["network"].state.values() for each in group.values()]
    held = local([*method.parameters(), *(each for each in moments if isinstance(each, torch.Tensor))])
    make_whole(method.network, kept=fabric.is_global_zero)
    return {
        "state": state,
        "losses": losses,
        "held": sum(each.numel() * each.element_size() for each in held),
        "saved": method.network.state_dict(),
    }


def with_parts_of_parameters(fabric: Fabric) -> dict[str, Any]:
    """Trainings whose parameters are whole in each process, and shared out: in one sitting, in two, made again."""
    mesh = init_device_mesh("cpu", (fabric.world_size,))
    found = {}
    for name in ("source_only", "dacs"):
        found[name] = {
            "whole": shared_out(name, fabric),
            "parts": shared_out(name, fabric, mesh=mesh),
            "two sittings": shared_out(name, fabric, mesh=mesh, stop=True),
            "activations made again": shared_out(name, fabric, mesh=mesh, recompute_activations=True),
        }
    return found


def with_shared_batch_norm(fabric: Fabric | None) -> dict[str, torch.Tensor]:
    """Gradients and running statistics of a step over four images, whoever sees them; None: one process."""
    method = make_method("source_only", ToyNetwork(batch_norm="trained")).double()
    rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    share_batch_norm(method)
    alone = Fabric(accelerator="cpu", devices=1, precision="64-true")
    train_step(method, share(batch(0, count=4, void=0.0), rank, world), None, 0, fabric=fabric or alone)
    found = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return found | {f"{name} moved": buffer.clone() for name, buffer in method.named_buffers() if "norm" in name}


def interrupted_at(fabric: Fabric, folder: Path) -> str:
    """One process alone is told to stop, at its third step; both have to, after the same step."""

    def source() -> Iterator[Batch]:
        for step in range(50):
            if step == 2 and fabric.global_rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch(step)

    try:
        training = Training(
            make_method("source_only"),
            # the clocks disagree: only the second process thinks that it is time for a checkpoint
            settings=TrainingSettings(steps=50, checkpoint_minutes=0.0 if fabric.global_rank else 60.0),
            fabric=fabric,
            checkpoints=Checkpoints(folder),
            history=History(folder),
            seed=0,
            title="toy",
        )
        fit(training, source(), None)
    except Interrupted as error:
        return str(error)
    return "not interrupted"


def translator_trained_by(fabric: Fabric, folder: Path, *, stop_at: int | None) -> dict[str, Any] | None:
    """A sitting of a CycleGAN whose pools remember each process's own translations; None where it was stopped."""
    torch.manual_seed(0)
    options = CycleGanOptions(width=4, blocks=1, discriminator_width=4, pool_size=2)
    translator = CycleGan(options, learning_rate=0.01)
    checkpoints = Checkpoints(folder)
    position = resumed(translator, checkpoints, fabric)
    begun_at = position.step

    def pictures(stream: int) -> Iterator[Batch]:
        for step in range(begun_at, 6):
            if step == stop_at and fabric.global_rank == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            generator = torch.Generator().manual_seed(100 * step + 10 * stream + fabric.global_rank)
            yield Batch(torch.rand(1, 3, 32, 32, generator=generator), None, ["picture"])

    try:
        training = Training(
            translator,
            settings=TranslationTraining(steps=6, checkpoint_minutes=60.0),
            fabric=fabric,
            checkpoints=checkpoints,
            history=History(folder, rows=position.history),
            position=position,
            seed=0,
            title="toy",
        )
        fit(training, pictures(0), pictures(1))
    except Interrupted:
        return None
    pools = {look: torch.stack(pool.pictures) for look, pool in translator.pools.items()}
    return {"begun at": begun_at, "weights": translator.method_state()["modules"], "pools": pools}


def translator_stopped_and_resumed(fabric: Fabric, folder: Path) -> dict[str, Any]:
    """The same translation in one sitting and in two."""
    whole = translator_trained_by(fabric, folder / "whole", stop_at=None)
    stopped = translator_trained_by(fabric, folder / "parts", stop_at=3)
    states = sorted(path.name for path in (folder / "parts").glob("*.pt"))
    return {
        "stopped": stopped is None,
        "states": states,
        "whole": whole,
        "parts": translator_trained_by(fabric, folder / "parts", stop_at=None),
    }


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
    result["shared batch norm"] = with_shared_batch_norm(fabric)
    gradients.FIRST_BUCKET, gradients.BUCKET = 64, 256  # bytes: several of the toy's tensors
    result["exchanged"] = {
        (name, in_buckets): weights_after_steps(name, fabric, in_buckets=in_buckets)
        for name in EXCHANGED
        for in_buckets in (False, True)
    }
    gradients.FIRST_BUCKET = gradients.BUCKET = 1  # byte: every parameter by itself
    result["surprised"] = surprised(fabric)
    result["parts"] = with_parts_of_parameters(fabric)
    result["taught"] = {name: taught_by_a_teacher(name, fabric) for name in TAUGHT}
    result["gathered"] = gathered({"rank": rank, "pictures": [torch.full((2,), rank)] * (1 + 3 * rank)}, fabric)
    result["translation"] = translator_stopped_and_resumed(fabric, folder / "translation")
    torch.save(result, folder / f"rank-{rank}.pt")


if __name__ == "__main__":
    main()
