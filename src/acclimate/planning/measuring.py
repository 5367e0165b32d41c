"""What a step of a training costs on this machine: a few real steps on a few real images."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acclimate.data.sample import Dataset, Image, Label, evenly_spaced
from acclimate.data.transforms import Transform, resized
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.predict import predict_labels
from acclimate.io.files import hash_of
from acclimate.io.identity import identity
from acclimate.labels import resized_label
from acclimate.recipe.load import Recipe, TrainStage
from acclimate.stages.stage import RunData
from acclimate.stages.train import launched_fabric
from acclimate.tasks import task_named
from acclimate.training.loop import train_step
from acclimate.training.placing import place
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.settings import TrainingSettings, resolved_precision

IMAGES = 8
"""Of each domain, evenly spaced, that are read for a measurement."""
STEPS, SECONDS = 3, 6.0
"""Steps that are timed, or as many as are begun within so many seconds: one at least."""


@dataclass(frozen=True)
class StepCost:
    """What one training costs.

    Attributes:
        seconds: of a step, once its images are in memory.
        predict_seconds: of one image's prediction at its native size; None where it was not measured.
        peak_memory_mb: of the GPU where there is one, else of this process.
        model_bytes: of the checkpoint that it leaves.
        state_bytes: of all that it owns, as it is saved while it trains.
    """

    seconds: float
    predict_seconds: float | None
    peak_memory_mb: float
    model_bytes: int
    state_bytes: int


class FewImages(Dataset):
    """A few images of a set, evenly spaced, in memory, at the size at which a training would keep its copy of them.

    Attributes:
        seconds: mean time to read and resize one image and its label from where it lies.
    """

    def __init__(self, dataset: Dataset, *, copied_to: tuple[int, int] | None, labels: bool) -> None:
        places = evenly_spaced(IMAGES, len(dataset))
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names = [dataset.names[place] for place in places]
        self.has_labels = labels and dataset.has_labels
        begin = time.monotonic()
        self._images = [dataset.image(place) for place in places]
        self._labels = [dataset.label(place) for place in places] if self.has_labels else []
        if copied_to is not None:
            self._images = [resized(image, copied_to) for image in self._images]
            self._labels = [resized_label(label, copied_to) for label in self._labels]
        self.seconds = (time.monotonic() - begin) / len(places)

    def image(self, index: int) -> Image:
        return self._images[index]

    def label(self, index: int) -> Label:
        return self._labels[index]

    def fingerprint(self) -> str:
        return hash_of(["few", self.spec, self.split, list(self.names), list(self._images[0].shape)])


@dataclass(frozen=True)
class Costs:
    """What the trainings of a recipe cost, and the reading of its images.

    Attributes:
        steps: by stage.
        reading: seconds for one image of ``source`` and ``target``, its label included; 0 where it is not known.
    """

    steps: dict[str, StepCost]
    reading: dict[str, float]


def measured(recipe: Recipe, data: RunData) -> Costs:
    """Takes a few steps of every training of a recipe; those that are alike are measured once.

    Nothing is written but for a temporary folder. Pseudo-labels and translations do not exist yet, so that the images'
    own stand for them, and weights are the initial ones: neither changes what a step costs.

    Raises:
        UserError: data or weights cannot be had.
    """
    known: dict[str, StepCost] = {}
    steps: dict[str, StepCost] = {}
    sets: dict[tuple[Any, ...], FewImages] = {}
    for name, stage in recipe.stages.items():
        if not isinstance(stage, TrainStage):
            continue
        settings = recipe.training_settings(stage)
        alike = {"steps": 1, "log_every": 1, "checkpoint_minutes": 1.0, "schedule": {}}
        key = hash_of(
            [
                stage.train,
                identity(task_named(recipe.task).options(stage.train, stage.options)),
                identity(recipe.network_config(stage)),
                {**identity(settings), **alike},
                stage.pseudo_labels is None,
            ]
        )
        if key not in known:
            known[key] = _measure(recipe, stage, settings, data, sets)
        steps[name] = known[key]
    return Costs(steps, {which: _mean(each.seconds for (w, *_), each in sets.items() if w == which) for which in _SETS})


_SETS = ("source", "target")


def _measure(
    recipe: Recipe,
    stage: TrainStage,
    settings: TrainingSettings,
    data: RunData,
    sets: dict[tuple[Any, ...], FewImages],
) -> StepCost:
    precision = resolved_precision(settings.precision, recipe.network_config(stage))

    def few(which: str, transform: Transform, *, labels: bool) -> Any:
        dataset = getattr(data, which)
        if not isinstance(dataset, Dataset):
            return dataset
        size = transform.size if settings.cache else None
        key = (which, size, labels)
        if key not in sets:
            sets[key] = FewImages(dataset, copied_to=size, labels=labels)
        return sets[key]

    training = settings.model_copy(
        update={
            "steps": STEPS + 1,
            "workers": 0,
            "precision": precision,
            "compile": "never",  # minutes, for three steps
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        request = trial(recipe, stage, training, data, few)
        fabric = launched_fabric(precision)
        reset_peak_memory()
        method = request.build_method(cache)
        place(method, request.training, fabric.device)
        method.train()
        source, target = request.batches(0, cache=cache, fabric=fabric)
        times: list[float] = []
        for step in range(STEPS + 1):  # the first one warms up
            begin = time.monotonic()
            train_step(
                method,
                next(source).to(fabric.device, channels_last=settings.channels_last),
                next(target).to(fabric.device, channels_last=settings.channels_last) if target is not None else None,
                step,
                fabric=fabric,
                clip=settings.clip_gradients,
                accumulate=settings.accumulate,
            )
            if fabric.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.monotonic() - begin)
            if step > 0 and sum(times) > SECONDS:
                break
        result = method.result()
        return StepCost(
            seconds=statistics.median(times[1:]),
            predict_seconds=_predict_seconds(result, recipe, data) if recipe.task == "segmentation" else None,
            peak_memory_mb=peak_memory_mb(),
            model_bytes=_bytes_in(result.state_dict()),
            state_bytes=_bytes_in(method.method_state()),
        )


def trial(
    recipe: Recipe,
    stage: TrainStage,
    training: TrainingSettings,
    data: RunData,
    images: Callable[..., Any],
) -> Any:
    """The request of a training of which some steps are tried, as the recipe's but for what needs earlier stages.

    Args:
        recipe, stage: what is tried.
        training: how; copies of images, mined crops, few labels and snapshots are left out.
        data: of the run.
        images: (``source`` or ``target``, its transform, labels=whether they are read) -> the images to read.
    """
    task = task_named(recipe.task)
    kind = task.method(stage.train)
    on_target = kind.trains_on != "source"
    learned, seen = training.target_transform if on_target else training.source_transform, training.target_transform
    labelled = images("target" if on_target and data.target.has_labels else "source", learned, labels=True)
    sees_target = kind.trains_on != "pseudo-labels" and (kind.sees_target or stage.pseudo_labels is not None)
    target = images("target", seen, labels=stage.pseudo_labels is not None) if sees_target else None
    pseudo = sees_target and stage.pseudo_labels is not None
    if pseudo and not data.target.has_labels:
        # the source lends pseudo-labels, images and all; the target's own were read for the time that it takes
        target = images("source", seen, labels=True)
    left_out = {"cache": False, "source_portion": 1.0, "mining": None, "labelled_target": None, "snapshots": None}
    return task.train_request(
        method=stage.train,
        options=stage.options,
        network=recipe.network_config(stage),
        training=training.model_copy(update=left_out),
        source=labelled,
        target=target,
        pseudo_labelled=pseudo,
        class_space=data.class_space,
        seed=0,
        start=None,
        input_size=recipe.prediction_size(),
        recipe=recipe.name,
        title="measuring",
        scored_on=(data.target, data.source),
    )


def _predict_seconds(network: Any, recipe: Recipe, data: RunData) -> float:
    """Seconds to label one image of the evaluated set, or of the target, at its native size."""
    dataset = data.evaluation or data.target
    image = dataset.image(0)
    inference = Inference(size=recipe.prediction_size())
    device = next(network.parameters()).device
    times = []
    for _ in range(2):
        begin = time.monotonic()
        predict_labels([network], inference.prepared(image).to(device), size=image.shape[:2], inference=inference).cpu()
        times.append(time.monotonic() - begin)
    return min(times)


def _bytes_in(state: Any) -> int:
    """Bytes of all tensors in nested mappings and sequences."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(_bytes_in, state.values()))
    return sum(map(_bytes_in, state)) if isinstance(state, (list, tuple)) else 0


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.fmean(found) if found else 0.0
