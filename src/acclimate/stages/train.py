"""The verb ``train``: a method, a source, a target, perhaps pseudo-labels, perhaps a start -> a checkpoint."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from pydantic import Field
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from acclimate.data.wrappers import Translated
from acclimate.errors import UserError
from acclimate.io.identity import identity
from acclimate.methods.trainable import Learner, Trainable
from acclimate.models.modules import save_modules
from acclimate.models.sharded import make_whole
from acclimate.stages.label import LabelStage, easy_and_hard
from acclimate.stages.label_boxes import LabelBoxesStage
from acclimate.stages.stage import MODEL, MODULES, Context, Place, Stage, StageSettings, Written
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.gradients import LONGEST_WAIT
from acclimate.training.history import History
from acclimate.training.loop import Fitted, LoopSettings, Training, fit
from acclimate.training.placing import place
from acclimate.training.resources import keep_freed_memory, peak_memory_mb, reset_peak_memory
from acclimate.training.resuming import resumed
from acclimate.training.settings import TrainingSettings, resolved_precision
from acclimate.training.snapshots import Snapshots, forget_snapshots
from acclimate.training.team import ALONE, Team
from acclimate.training.trackers import Lightning, TensorBoard, Tracker

TARGET_WORK = 1.4
"""What a target's image costs relative to a source's: a teacher or a discriminator looks at it, too."""


class TrainStage(StageSettings):
    """``train``: a method, perhaps pseudo-labels, perhaps a start; overrides of the recipe's network and training.

    With ``easy_to_hard`` the easy images of an earlier label stage, with its labels, take the source's place, and the
    hard ones the target's (IntraDA).
    """

    verb = "train"
    tasks = ("segmentation", "detection")
    takes = MappingProxyType(
        {"start": "train", "source": "translate", "easy_to_hard": "label", "pseudo_labels": "label"}
    )
    train: str
    options: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    network: dict[str, Any] = Field(default_factory=dict)
    pseudo_labels: str | None = None
    start: str | None = None
    source: str | None = None
    easy_to_hard: str | None = None

    def expect_known(self, task: Any) -> None:
        try:
            task.method(self.train)
        except UserError as error:
            raise UserError(f"train: {error}") from None

    def problems(self, written: Written) -> Iterator[str]:
        recipe, at = written.recipe, written.at
        kind = written.task.method(self.train)
        trains_on = kind.trains_on
        if self.source is not None and trains_on != "source":
            yield f"{at}.source: {self.train} sees no source; remove the key"
        if self.easy_to_hard is not None:
            if self.source is not None or self.pseudo_labels is not None:
                yield f"{at}.easy_to_hard: easy images take the source's place; remove source and pseudo_labels"
            if trains_on != "source":
                yield f"{at}.easy_to_hard: {self.train} sees no source that easy images could replace; remove the key"
            labels = recipe.stages.get(self.easy_to_hard)
            if isinstance(labels, LabelStage) and labels.split is None:
                yield f"{at}.easy_to_hard: {self.easy_to_hard} does not split its images; give it split: {{}}"
            if isinstance(labels, LabelBoxesStage):
                yield f"{at}.easy_to_hard: boxes do not tell easy images from hard ones; remove the key"
        if self.pseudo_labels is not None and trains_on == "target":
            yield f"{at}.pseudo_labels: {self.train} trains on the target's own labels; remove the key"
        if self.pseudo_labels is not None and not kind.takes_pseudo_labels:
            yield f"{at}.pseudo_labels: {self.train} makes labels of its own and takes no others; remove the key"
        if self.pseudo_labels is None and trains_on == "pseudo-labels":
            yield f"{at}: {self.train} trains on pseudo-labels alone; set pseudo_labels to an earlier label stage"
        yield from written.mistakes(written.task.options, self.train, self.options, prefix=f"{at}.options: ")
        if written.training_fits:
            yield from written.mistakes(recipe.training_settings, self, where=f"{at}.")
        if "name" in {**recipe.network, **self.network} or recipe.checkpoint_under(self) is None:
            mistakes = list(
                written.mistakes(recipe.network_config, self, where=f"{at}.")
            )  # else the checkpoint is asked
            yield from mistakes or self._network_problems(written)

    def _network_problems(self, written: Written) -> Iterator[str]:
        network = written.recipe.network_config(self)
        options = getattr(network, "options", network)
        for key, value in written.task.method(self.train).network_options.items():
            if getattr(options, key, None) != value:
                yield (
                    f"{written.at}: {self.train} needs a network with {key}: {str(value).lower()}; set it in network, "
                    "and in that of the stage it starts from"
                )

    def planned(self, recipe: Any) -> tuple[dict[str, Any], int]:
        training = recipe.training_settings(self)
        settings = {"training": training, "network": recipe.network_config(self)}
        return {key: value.model_dump(mode="json") for key, value in settings.items()}, training.steps

    def check(self, context: Context) -> None:
        context.recipe.network_config(self)

    def ready(self, context: Context) -> Sequence[Stage]:
        return [TrainedModel(context, self)]


class TrainedModel(Stage):
    """A method's network after its steps: ``model.safetensors`` and ``history.csv``."""

    verb = "train"
    products = (MODEL, MODULES)
    shared = True

    def __init__(self, context: Context, stage: TrainStage) -> None:
        self.start, self.labels = context.earlier(stage.start), context.earlier(stage.pseudo_labels)
        self.translation, self.split = context.earlier(stage.source), context.earlier(stage.easy_to_hard)
        super().__init__(context, inputs=[self.start, self.labels, self.translation, self.split])
        self.stage, self.method = stage, stage.train
        self.kind = context.task.method(stage.train)
        self.network = context.recipe.network_config(stage)
        training = context.recipe.training_settings(stage)
        self.precision = resolved_precision(training.precision, self.network)
        self.training = training.model_copy(update={"precision": self.precision})

    def identity(self) -> dict[str, Any]:
        data = self.context.data
        labelled = data.source if self.kind.trains_on == "source" and self.split is None else data.target
        sees_target = self.kind.trains_on != "pseudo-labels" and (self.kind.sees_target or self.labels is not None)
        found = {
            "method": self.method,
            "options": identity(self.context.task.options(self.method, self.stage.options)),
            "network": identity(self.network),
            "training": identity(self.training),
            "seed": self.context.seed,
            "source": labelled.fingerprint(),
            "target": data.target.fingerprint() if sees_target else None,
            "start": self.start.key if self.start else None,
            "pseudo_labels": self.labels.key if self.labels else None,
            "translation": self.translation.key if self.translation else None,
        }
        if self.split is not None:
            found["easy_to_hard"] = self.split.key
        if self.training.labelled_target is not None:
            found["labelled_target"] = data.target.fingerprint()
        if self.training.snapshots is not None:
            found["scored_on"] = [data.target.fingerprint(), data.source.fingerprint()]
        return found

    def work(self) -> float:
        settings = self.training
        target = settings.target_batch_size or settings.batch_size
        sees_target = self.kind.trains_on != "pseudo-labels" and (self.kind.sees_target or self.labels is not None)
        images = settings.batch_size + (TARGET_WORK * target if sees_target else 0.0)
        return float(settings.steps * images)

    def run(self, place: Place) -> dict[str, Any]:
        source, target = self._sets()
        context = self.context
        request = context.task.train_request(
            method=self.method,
            options=self.stage.options,
            network=self.network,
            training=self.training,
            source=source,
            target=target,
            pseudo_labelled=target is not None and self.labels is not None,
            class_space=context.data.class_space,
            seed=context.seed,
            start=self.start.folder / MODEL if self.start else None,
            input_size=context.recipe.prediction_size(),
            recipe=context.recipe.name,
            title=self.title,
            scored_on=(context.data.target, context.data.source),
        )
        return train(request, folder=place.folder, cache=place.cache, fabric=place.fabric)

    def clear(self, folder: Path) -> None:
        Checkpoints(folder).clear()
        forget_snapshots(folder)

    def _sets(self) -> tuple[Any, Any]:
        """What is read as the labelled set and as the target, if the method sees one."""
        data = self.context.data
        if self.kind.trains_on == "pseudo-labels":
            assert self.labels is not None, "the recipe's check asks for pseudo-labels"
            return self.context.task.pseudo_labelled(data.target, self.labels.folder), None
        if self.split is not None:
            return easy_and_hard(data.target, self.split.folder)
        source = data.source if self.kind.trains_on == "source" else data.target
        if self.translation is not None:
            source = Translated(source, self.translation.folder)
        if not source.has_labels:
            raise UserError(
                f"stage {self.context.name} trains on the labels of {source.spec} ({source.split}), which has none"
            )
        if self.labels is not None:
            return source, self.context.task.pseudo_labelled(data.target, self.labels.folder)
        return source, data.target if self.kind.sees_target else None


class TrainRequest(Protocol):
    """What is trained, of any task; see :class:`acclimate.stages.training.SegmentationTraining`."""

    @property
    def training(self) -> TrainingSettings: ...
    @property
    def seed(self) -> int: ...
    @property
    def title(self) -> str: ...

    def build_method(self, cache: Path) -> Trainable[Any]:
        """The method with its network, initialised from the request's seed and start."""
        ...

    def batches(self, first_step: int, *, cache: Path, fabric: Fabric) -> tuple[Iterator[Any], Iterator[Any] | None]:
        """The batches of both domains from ``first_step`` on."""
        ...

    def save(self, path: Path, network: Any) -> None:
        """Writes the trained network with its card."""
        ...

    def snapshots(self, method: Any, folder: Path, *, device: str) -> Snapshots | None:
        """What takes snapshots while the method trains, where the settings ask for it."""
        ...


def train(request: TrainRequest, *, folder: Path, cache: Path, fabric: Fabric) -> dict[str, Any]:
    """Trains, or goes on training, in ``folder``; leaves ``model.safetensors`` and ``history.csv`` there.

    Returns:
        What it cost: ``train_seconds``, ``images_per_second``, ``peak_memory_mb``, ``steps``.

    Raises:
        UserError: data, options or checkpoints do not fit.
        Interrupted: asked to stop; the state is saved.
    """
    reset_peak_memory()
    with fabric.rank_zero_first():  # what is computed once and kept is computed by one process
        method = request.build_method(cache)
    mesh = shared_out_over(fabric, request.training)
    place(method, request.training, fabric.device, mesh=mesh)
    snapshots = request.snapshots(method, folder, device=str(fabric.device))

    def batches(first_step: int) -> tuple[Iterator[Any], Iterator[Any] | None]:
        return request.batches(first_step, cache=cache, fabric=fabric)

    fitted = trained(
        method,
        batches,
        settings=request.training,
        folder=folder,
        fabric=fabric,
        seed=request.seed,
        title=request.title,
        snapshots=snapshots,
    )
    summary: dict[str, Any] = {
        "steps": request.training.steps,
        "train_seconds": round(fitted.seconds, 2),
        "images_per_second": round(fitted.images_per_second, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "processes": fabric.world_size,
    }
    if mesh is not None:
        make_whole(method.result(), kept=fabric.is_global_zero)
    if fabric.is_global_zero:
        save_modules(folder / MODULES, method)  # first: the model is what says that the stage is done
        request.save(folder / MODEL, method.result())
        if snapshots is not None and (step := snapshots.install([MODULES, MODEL])) is not None:
            summary["chosen_step"] = step
    fabric.barrier()
    return summary


def shared_out_over(fabric: Fabric, settings: TrainingSettings) -> DeviceMesh | None:
    """The processes that parameters are shared out between; None where each has all.

    Raises:
        UserError: the first process alone would have to use the network.
    """
    if not settings.shard or fabric.world_size == 1:
        return None
    if settings.snapshots is not None:
        raise UserError("training.shard: the first process alone scores snapshots; leave out training.snapshots")
    return init_device_mesh(fabric.device.type, (fabric.world_size,))


def trained(
    learner: Learner[Any],
    batches: Callable[[int], tuple[Iterator[Any], Iterator[Any] | None]],
    *,
    settings: LoopSettings,
    folder: Path,
    fabric: Fabric,
    seed: int,
    title: str,
    snapshots: Snapshots | None = None,
) -> Fitted:
    """Trains any learner in ``folder``, from its newest checkpoint there or from the beginning.

    Args:
        batches: from the step to begin with to the batches of source and target.
    """
    if fabric.device.type == "cpu":
        keep_freed_memory()
    checkpoints = Checkpoints(folder)
    position = resumed(learner, checkpoints, fabric)
    with fabric.rank_zero_first():  # one process makes copies that are kept, the others find them
        source, target = batches(position.step)
    trackers: list[Tracker] = []
    if fabric.is_global_zero:
        trackers.append(TensorBoard(folder, first=position.step + 1))
        if settings.tracker is not None:
            trackers.append(Lightning(settings.tracker, folder, name=title))
    with History(folder, rows=position.history, trackers=trackers) as history:
        training = Training(
            learner,
            settings=settings,
            fabric=fabric,
            checkpoints=checkpoints,
            history=history,
            position=position,
            seed=seed,
            title=title,
            snapshots=snapshots,
        )
        return fit(training, source, target)


def launched_fabric(precision: str) -> Fabric:
    """The Fabric of this process: one device, or what ``torchrun`` or SLURM started.

    Args:
        precision: a resolved one, see :func:`acclimate.training.settings.resolved_precision`.
    """
    world = launched_processes()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    if torch.cuda.is_available() and local > torch.cuda.device_count():
        raise UserError(
            f"{local} processes were started on a machine with {torch.cuda.device_count()} GPUs; start one for each"
        )
    fabric = Fabric(
        accelerator="auto",
        devices=local if world > 1 else 1,
        num_nodes=max(1, world // local),
        # one process may label or score for hours while the others wait; that one has died is torchrun's to notice
        strategy=DDPStrategy(timeout=LONGEST_WAIT) if world > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    if world > 1:
        atexit.unregister(_part)
        atexit.register(_part)
    return fabric


def _part() -> None:
    """Ends the threads that talk to the others, before the interpreter takes away what they stand on."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def launched_processes() -> int:
    """How many processes ``--processes``, ``torchrun`` or SLURM started for this command."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1")))


def launched_rank() -> int:
    """Which of them this is, before they have met."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def launched_team() -> Team:
    """The processes that were started for this command: those of :func:`launched_fabric`, or this one alone."""
    return ALONE if launched_processes() == 1 else Team(launched_fabric("32-true"))
