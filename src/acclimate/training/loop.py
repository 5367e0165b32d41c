"""The training loop: small enough to read in one sitting, the same for every method, device and number of processes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol

import torch
from lightning_fabric import Fabric

from acclimate.errors import UserError
from acclimate.io.progress import progress
from acclimate.methods.optimizers import make_ready
from acclimate.methods.trainable import STEP, AnyBatch, Learner, Losses, Term
from acclimate.models.sharded import whole
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.gradients import GradientExchange, exchange_of
from acclimate.training.history import History, Rows, packed
from acclimate.training.interrupt import Interrupted, stop_request
from acclimate.training.processes import agreed, average_gradients, average_running_statistics, gathered
from acclimate.training.schedule import set_learning_rates
from acclimate.training.snapshots import Snapshots
from acclimate.training.trackers import TrackerName
from acclimate.training.warnings import TrainingWarnings, ensure_finite, ensure_finite_state


class LoopSettings(Protocol):
    """What the loop needs to know; the settings of training and of translation have it."""

    @property
    def steps(self) -> int: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def checkpoint_minutes(self) -> float: ...
    @property
    def log_every(self) -> int: ...
    @property
    def clip_gradients(self) -> float | None: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def tracker(self) -> TrackerName | None: ...

    def learning_rate_factor(self, step: int) -> float:
        """What every rate is multiplied by at a step."""
        ...


@dataclass
class Fitted:
    """What a training cost: wall-clock seconds over all its sittings, and images (of both domains) per second."""

    seconds: float
    images_per_second: float


@dataclass
class Position:
    """How far a training has come; stored in every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    images: int = 0
    history: Rows = field(default_factory=list)


@dataclass
class Training(Generic[AnyBatch]):
    """A training in a folder: what is trained and how, how far it is, and where its state and history go.

    Attributes:
        method: on the device of ``fabric``, and restored to ``position``.
        settings: how long and how fast.
        fabric: device, precision and processes.
        checkpoints, history: of the folder.
        seed: of everything random within a step.
        title: of the progress bar.
        position: where to begin; moves on with every step.
        snapshots: taken on the way, by the first process; their scores are in the history too.
    """

    method: Learner[AnyBatch]
    settings: LoopSettings
    fabric: Fabric
    checkpoints: Checkpoints
    history: History
    seed: int
    title: str
    position: Position = field(default_factory=Position)
    snapshots: Snapshots | None = None


def fit(training: Training[AnyBatch], source: Iterator[AnyBatch], target: Iterator[AnyBatch] | None) -> Fitted:
    """Trains from the training's position to its last step.

    Args:
        source, target: batches from the position's step on; ``target`` is None for methods that do not look at it.

    Raises:
        Interrupted: the process was asked to stop; the state is saved.
        UserError: a loss or the state to be saved is no longer finite.
    """
    method, settings, fabric = training.method, training.settings, training.fabric
    position, snapshots = training.position, training.snapshots
    method.train()
    folder = training.history.path.parent if fabric.is_global_zero else None
    warnings = TrainingWarnings(method, rows=training.history.rows, folder=folder)
    begin = time.monotonic()
    saved_at, seconds_before = begin, position.seconds
    optimizers = list(method.optimizers.values())

    silent = not fabric.is_global_zero
    with (
        stop_request() as stop,
        progress(training.title, settings.steps, done=position.step, silent=silent) as bar,
        exchange_of(method, fabric) as exchange,
    ):
        for step in range(position.step, settings.steps):
            set_learning_rates(optimizers, settings.learning_rate_factor(step))

            source_batch = next(source).to(fabric.device, channels_last=settings.channels_last)
            target_batch = next(target).to(fabric.device, channels_last=settings.channels_last) if target else None
            names = [*source_batch.names, *(target_batch.names if target_batch else [])]

            done = step + 1
            last = done == settings.steps
            scored = snapshots is not None and snapshots.due(done, last=last)
            logged = last or scored or done % settings.log_every == 0
            with warnings.predictions(active=logged):
                terms = train_step(
                    method,
                    source_batch,
                    target_batch,
                    step,
                    fabric=fabric,
                    seed=training.seed,
                    clip=settings.clip_gradients,
                    accumulate=settings.accumulate,
                    exchange=exchange,
                )
            record = {name: term.value for name, term in terms.items()}
            ensure_finite(record, done, names=names)
            now = time.monotonic()
            position.step, position.seconds = done, seconds_before + now - begin
            position.images += fabric.world_size * len(names)
            stopping, due = agreed(bool(stop), now - saved_at >= 60 * settings.checkpoint_minutes, fabric=fabric)
            saving = last or stopping or due
            scores = snapshots.take(done) if snapshots and scored and fabric.is_global_zero else {}
            if scores and snapshots:
                training.history.show(done, snapshots.pictures)
            if logged:
                rate = optimizers[0].param_groups[0]["lr"]
                row = {name: float(value) for name, value in {**record, "learning rate": rate, **scores}.items()}
                speed = _add_row(training, row)
                row.pop("learning rate")
                bar.advance(1, f"{speed:.1f} img/s", values=row)
                warnings.look({name: term.role for name, term in terms.items()})
            else:
                bar.advance()
            if saving:
                _save(training)
                saved_at = time.monotonic()
            if stopping and not last:
                raise Interrupted(f"stopped after step {done} of {settings.steps}; the state is saved")
    return Fitted(seconds=position.seconds, images_per_second=position.images / max(position.seconds, 1e-9))


def _add_row(training: Training[AnyBatch], row: dict[str, float]) -> float:
    """Adds a row to the history; returns images per second."""
    position = training.position
    speed = position.images / position.seconds
    training.history.add(position.step, row, speed={"images per second": speed})
    return speed


Watch = Callable[[str], AbstractContextManager[object]]


def unwatched(part: str) -> AbstractContextManager[object]:
    """Nobody looks."""
    return nullcontext()


def train_step(
    method: Learner[AnyBatch],
    source: AnyBatch,
    target: AnyBatch | None,
    step: int,
    *,
    fabric: Fabric,
    seed: int = 0,
    clip: float | None = None,
    accumulate: int = 1,
    watch: Watch = unwatched,
    exchange: GradientExchange | None = None,
) -> dict[str, Term]:
    """One step of any method: backpropagate each of its losses in turn, then step every optimiser.

    Everything random inside it (dropout, masks, class draws) is a function of seed, step and process, so that no
    generator's state has to be stored.

    Args:
        clip: the largest norm of an optimiser's gradients together; None: as they are.
        accumulate: parts of the batches that are gone through one after the other before the optimisers step.
        watch: told which part of the step begins; ends with the block.
        exchange: of several processes' gradients, during the backward passes; None: after them.

    Returns:
        Every term of the step, its value detached; of several parts, the mean of theirs.

    Raises:
        UserError: there are several parts and the method steps its optimisers within a step.
    """
    torch.manual_seed(step_seed(seed, step, fabric.global_rank))
    _forget_gradients(method)
    if exchange is not None:
        exchange.begin_step()
    sources = source.parts(accumulate)
    targets = [None] * accumulate if target is None else target.parts(accumulate)
    parts = []
    try:
        for source_part, target_part in zip(sources, targets, strict=True):
            part: dict[str, Term] = {}
            terms = method.terms(source_part, target_part, step)
            while (losses := _next_losses(method, terms, fabric)) is not None:
                if losses is STEP:
                    _expect_whole_batches(accumulate)
                    _step_optimizers(method, fabric=fabric, clip=clip, exchange=exchange)
                    _forget_gradients(method)
                    continue
                with watch("backward"):
                    _descend(losses, parts=accumulate)
                part.update({name: replace(term, value=term.value.detach()) for name, term in losses.items()})
            parts.append(part)
        with watch("optimisers"):
            _step_optimizers(method, fabric=fabric, clip=clip, exchange=exchange)
    finally:
        method.together.end()
    if fabric.world_size > 1:
        average_running_statistics(method, fabric)  # before averages over the steps are taken of them
    with watch("moving averages"):
        method.after_step(step)
    return _mean(parts)


def _mean(parts: list[dict[str, Term]]) -> dict[str, Term]:
    """The terms of a step, each the mean over the parts of its batches."""
    if len(parts) == 1:
        return parts[0]
    mean: dict[str, Term] = {}
    for part in parts:
        for name, term in part.items():
            share = term.value / len(parts)
            mean[name] = replace(term, value=mean[name].value + share if name in mean else share)
    return mean


def _expect_whole_batches(accumulate: int) -> None:
    if accumulate > 1:
        raise UserError(
            f"training.accumulate={accumulate}: this method steps its optimisers within a step, whose batch cannot be "
            "gone through in parts; set it to 1"
        )


def _descend(losses: Losses, *, parts: int) -> None:
    """Backpropagates the weighted sum of the terms that are losses, or its share of several parts'."""
    weighted = [term.weight * term.value for term in losses.values() if term.role != "figure" and term.weight != 0]
    if weighted:
        total = torch.stack(weighted).sum()
        (total if parts == 1 else total / parts).backward()  # type: ignore[no-untyped-call]


def _forget_gradients(method: Learner[AnyBatch]) -> None:
    for optimizer in method.optimizers.values():
        optimizer.zero_grad(set_to_none=True)


def _step_optimizers(
    method: Learner[AnyBatch], *, fabric: Fabric, clip: float | None, exchange: GradientExchange | None
) -> None:
    method.together.end()  # the weights that were cast are about to move
    if exchange is not None:
        exchange.exchange()
    elif fabric.world_size > 1:
        average_gradients(method, fabric)
    for optimizer in method.optimizers.values():
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
        make_ready(optimizer)
        optimizer.step()


def step_seed(seed: int, step: int, rank: int) -> int:
    """63 well-mixed bits of three numbers, the same on every machine and in every version of Python."""
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _next_losses(method: Learner[AnyBatch], terms: Iterator[Losses], fabric: Fabric) -> Losses | None:
    with fabric.autocast():
        method.together.begin(fabric.device.type)
        return next(terms, None)


def _save(training: Training[AnyBatch]) -> None:
    method, position, fabric = training.method, training.position, training.fabric
    state = whole(method.method_state(), kept=fabric.is_global_zero)
    own = gathered(mine, fabric) if (mine := method.process_state()) else []
    ensure_finite_state({**state, "own": own}, position.step)
    if fabric.is_global_zero:
        training.history.save()
        kept = {"seconds": position.seconds, "images": position.images, "processes": fabric.world_size}
        rows = packed(training.history.rows)
        training.checkpoints.save(position.step, {**kept, "history": rows, "method": state, "own": own})
    fabric.barrier()
