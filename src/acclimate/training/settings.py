"""The settings of a training stage, as a recipe writes them."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from typing_extensions import Self

from acclimate.data.sampling import Sampling
from acclimate.data.transforms import Transform
from acclimate.errors import UserError
from acclimate.io.identity import speed_only
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.training.labelled_target import LabelledTarget
from acclimate.training.placing import Compile
from acclimate.training.rounds import Mining
from acclimate.training.schedule import Schedule
from acclimate.training.trackers import TrackerName

Precision = Literal["auto", "32-true", "bf16-mixed"]
Choice = Literal[
    "last", "mean entropy", "information maximisation", "soft neighbourhood density", "class-ratio divergence"
]


class SnapshotSettings(BaseModel):
    """Snapshots of a training, scored without labels of the target.

    Attributes:
        every: steps between them; the last step has one too.
        images: training images of the target that they are scored on, evenly spaced.
        choose: the score of :mod:`acclimate.evaluation.label_free` by which one of them becomes the model; ``last``:
            the last step's weights do, whatever their score.
        keep: keep the weights of all of them, to be evaluated one by one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: PositiveInt
    images: PositiveInt = 16
    choose: Choice = "last"
    keep: bool = False


class TrainingSettings(BaseModel):
    """How long, how fast and on what kind of picture a method trains.

    Attributes:
        steps: optimiser steps; the checkpoint that counts is the last one's, unless ``snapshots`` choose another.
        schedule: of the learning rates; see :class:`acclimate.training.schedule.Schedule`.
        clip_gradients: the largest norm of all gradients of an optimiser together; longer ones are
            scaled down to it. None: as they are.
        batch_size: source images per step, over all processes.
        source_sampling: which source images are drawn, and what their crops should hold; see :class:`Sampling`.
        target_batch_size: target images per step; None: ``batch_size``.
        optimizer: see :class:`OptimizerSettings`.
        precision: ``bf16-mixed`` where the processor has bfloat16 instructions, else ``32-true``; ``auto`` looks.
        channels_last: memory format of images and weights; faster on CPUs and GPUs alike, same mathematics.
        accumulate: parts that a step's batches are divided into, one after the other, for memory that holds no more;
            gradients are the mean of theirs. A loss is then the mean over parts, and batch norm sees a part at a time.
        sync_batch_norm: batch norm by the images of all processes together, instead of each process's own; with it,
            or where no batch norm looks at its batch, a training can go on in another number of processes.
        shard: share out the network's parameters, gradients and optimiser states between the processes (FSDP), for
            networks that do not fit on one device; the same numbers but for the order of sums. One process has all.
        compile: compile the network's layers: ``auto`` does where it pays (a GPU, pictures of one size, many steps).
        recompute_activations: keep the inputs of the network's blocks alone and compute the rest again on the way
            back: less memory, a third more time, the same numbers.
        source_transform, target_transform: what happens to images on their way in.
        source_portion: share of the source's images that is trained on; grows over CBST's rounds.
        labelled_target: a few labelled images of the target beside the source; see :class:`LabelledTarget`.
        mining: crops of both domains around classes that are rare in the pseudo-labels; see :class:`Mining`.
        cache: keep a resized copy of the images beside the finished stages, built once. Only for transforms that
            start with a resize.
        cache_gigabytes: that such copies may take together; what would be more is read from its files.
        workers: loader processes per domain.
        checkpoint_minutes: how often the state is saved so that a killed run can go on.
        log_every: steps between rows of the history.
        tracker: who else is shown the rows, and pictures of snapshots: ``wandb`` or ``mlflow``.
        snapshots: see :class:`SnapshotSettings`; None: none are taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: PositiveInt = 120_000
    schedule: Schedule = Schedule()
    clip_gradients: PositiveFloat | None = None
    batch_size: PositiveInt = 1
    target_batch_size: PositiveInt | None = None
    source_sampling: Sampling = Sampling()
    optimizer: OptimizerSettings = OptimizerSettings()
    precision: Precision = "auto"
    channels_last: bool = True
    accumulate: PositiveInt = 1
    sync_batch_norm: bool = False
    shard: bool = speed_only(False)
    compile: Compile = speed_only("auto")
    recompute_activations: bool = speed_only(False)
    source_transform: Transform = Transform()
    target_transform: Transform = Transform()
    source_portion: float = Field(default=1.0, gt=0, le=1)
    labelled_target: LabelledTarget | None = None
    mining: Mining | None = None
    cache: bool = speed_only(False)
    cache_gigabytes: PositiveFloat = speed_only(100.0)
    workers: NonNegativeInt = speed_only(0)
    checkpoint_minutes: float = speed_only(5.0, ge=0.0)
    log_every: PositiveInt = speed_only(20)
    tracker: TrackerName | None = speed_only(None)
    snapshots: SnapshotSettings | None = None

    @model_validator(mode="after")
    def _batches_can_be_divided(self) -> Self:
        for key, size in (("batch_size", self.batch_size), ("target_batch_size", self.target_batch_size)):
            if size is not None and size % self.accumulate:
                raise ValueError(f"accumulate divides a step's batches into {self.accumulate} parts, {key} is {size}")
        return self

    def learning_rate_factor(self, step: int) -> float:
        """What every starting learning rate is multiplied by at ``step``."""
        return self.schedule.factor(step, steps=self.steps)


NARROWEST_BF16 = 16
"""Channels of the narrowest ``small`` network trained in bfloat16 on a CPU: with fewer, the backward pass of PyTorch
2.15's strided 1x1 convolutions writes outside its memory and the process aborts."""


class HasWidth(Protocol):
    """A network's config, as far as precision depends on it."""

    @property
    def width(self) -> int | None:
        """Channels of the first convolution of a small network; None for the published ones."""
        ...


def resolved_precision(precision: Precision, network: HasWidth) -> Literal["32-true", "bf16-mixed"]:
    """What ``auto`` means on this machine: bfloat16 where it is computed in hardware.

    Raises:
        UserError: ``bf16-mixed`` is asked for where it would crash.
    """
    import torch

    if torch.cuda.is_available():
        if precision != "auto":
            return precision
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    narrow = network.width is not None and network.width < NARROWEST_BF16
    if precision == "bf16-mixed" and narrow:
        raise UserError(
            f"network.width={network.width} cannot be trained with training.precision=bf16-mixed on a CPU, where "
            f"PyTorch's kernels need {NARROWEST_BF16} channels or more; set training.precision=32-true or widen it"
        )
    if precision != "auto":
        return precision
    if narrow:
        return "32-true"
    return "bf16-mixed" if _cpu_has_bfloat16() else "32-true"


def _cpu_has_bfloat16() -> bool:
    import torch

    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())
