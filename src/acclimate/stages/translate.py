"""The verb ``translate``: two image sets -> a translator, and the whole source in the target's look.

First the translator is trained (or two histograms are counted), then every source image is written to
``images/NAME.png`` at its own size. Both keep their place; ``translation.json`` comes last and is what makes the folder
one that can be trained on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import Field

from acclimate.data.cache import cached
from acclimate.data.loading import batches
from acclimate.data.sample import Batch, Dataset, Image, evenly_spaced
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import TRANSLATION, Translated, translated_path, untranslated
from acclimate.errors import UserError
from acclimate.evaluation.pictures import picture_size, save_picture
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.io.files import hash_of, hash_of_file, write_bytes
from acclimate.io.identity import identity
from acclimate.io.panels import side_by_side, write_stacked
from acclimate.io.progress import progress
from acclimate.models.checkpoint import load_network
from acclimate.stages.stage import MODEL, Context, Place, Stage, StageSettings, Written
from acclimate.stages.train import trained
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.interrupt import Interrupted, stop_request
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.team import Team
from acclimate.translation.apply import load_generator, save_translator, translated_image
from acclimate.translation.colour import (
    channel_histograms,
    colour_distances,
    histogram_curves,
    mean_std_curves,
    mean_std_line,
    sampled_images,
    through_curves,
)
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import COLOUR_MATCHES, CycleGanOptions, TranslationTraining, Translator, Writing

TRANSLATOR, IDENTITY, FIGURE = "translator.safetensors", "identity.json", "translation.png"
CYCLE_WORK, WRITING_WORK = 8.0, 0.3
"""What a step of CycleGAN and the writing of an image cost per image, relative to training a network on one."""
FIGURE_IMAGES = 3


@dataclass(frozen=True)
class TranslateRequest:
    """Everything a ``translate`` stage depends on.

    Attributes:
        translator: ``cyclegan``, or a colour match: ``histogram`` or ``mean-std``.
        options, training: of CycleGAN; a colour match looks at neither.
        writing: how the whole source is translated.
        source, target: the two image sets; labels are not read.
        perceptual: checkpoint of a segmentation network for BDL's perceptual terms; None: without them.
        seed: of the translator's initial weights, of orders and augmentations.
        title: for the progress bar.
    """

    translator: Translator
    options: CycleGanOptions
    training: TranslationTraining
    writing: Writing
    source: Dataset
    target: Dataset
    perceptual: Path | None
    seed: int
    title: str = "translate"

    def identity(self) -> dict[str, Any]:
        """Everything the pictures depend on."""
        perceptual = None if self.perceptual is None else hash_of_file(self.perceptual)
        return self.settings() | {
            "source": self.source.fingerprint(),
            "target": self.target.fingerprint(),
            "perceptual": perceptual,
        }

    def settings(self) -> dict[str, Any]:
        """Of the identity what is no data: a colour match has nothing but its name."""
        if self.translator in COLOUR_MATCHES:
            return {"translator": self.translator}
        return {
            "translator": self.translator,
            "options": identity(self.options),
            "training": identity(self.training),
            "writing": identity(self.writing),
            "seed": self.seed,
        }


class TranslateStage(StageSettings):
    """``translate``: the source's images in the target's look, by CycleGAN or by matching colours.

    With ``source`` it starts from what an earlier translation made of them.
    """

    verb = "translate"
    takes = MappingProxyType({"source": "translate", "perceptual": "train"})
    translate: Translator
    source: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    writing: dict[str, Any] = Field(default_factory=dict)
    perceptual: str | None = None

    def problems(self, written: Written) -> Iterator[str]:
        unread = [key for key in ("options", "training", "writing", "perceptual") if getattr(self, key)]
        if self.translate in COLOUR_MATCHES and unread:
            yield f"{written.at}.{unread[0]}: a colour match has no such setting; remove the key"
        yield from written.mistakes(written.recipe.translation_settings, self, where=f"{written.at}.")

    def planned(self, recipe: Any) -> tuple[dict[str, Any], int]:
        parts = recipe.translation_settings(self)
        steps = 0 if self.translate in COLOUR_MATCHES else parts[1].steps
        return {"translation": [part.model_dump(mode="json") for part in parts]}, steps

    def ready(self, context: Context) -> Sequence[Stage]:
        return [TranslatedSource(context, self)]


class TranslatedSource(Stage):
    """The whole source in the target's look: ``images/`` and ``translation.json``, which comes last."""

    verb = "translate"
    products = (TRANSLATION, TRANSLATOR)
    shared = True

    def __init__(self, context: Context, stage: TranslateStage) -> None:
        self.perceptual, self.earlier = context.earlier(stage.perceptual), context.earlier(stage.source)
        super().__init__(context, inputs=[self.perceptual, self.earlier])
        self.options, self.training, self.writing = context.recipe.translation_settings(stage)
        self.stage, self.precision = stage, self.training.precision

    def identity(self) -> dict[str, Any]:
        data = self.context.data
        return self._request(data.source).settings() | {
            "source": data.source.fingerprint(),
            "target": data.target.fingerprint(),
            "translation": self.earlier.key if self.earlier else None,
            "perceptual": self.perceptual.key if self.perceptual else None,
        }

    def work(self) -> float:
        training = (
            self.training.steps * self.training.batch_size * CYCLE_WORK if self.stage.translate == "cyclegan" else 0
        )
        return training + WRITING_WORK * len(self.context.data.source)

    def run(self, place: Place) -> dict[str, Any]:
        source = self.context.data.source
        request = self._request(Translated(source, self.earlier.folder) if self.earlier else source)
        return translate(request, folder=place.folder, cache=place.cache, fabric=place.fabric)

    def clear(self, folder: Path) -> None:
        Checkpoints(folder).clear()

    def _request(self, source: Dataset) -> TranslateRequest:
        return TranslateRequest(
            translator=self.stage.translate,
            options=self.options,
            training=self.training,
            writing=self.writing,
            source=source,
            target=self.context.data.target,
            perceptual=self.perceptual.folder / MODEL if self.perceptual else None,
            seed=self.context.seed,
            title=self.title,
        )


def translate(request: TranslateRequest, *, folder: Path, cache: Path, fabric: Fabric) -> dict[str, Any]:
    """Leaves ``images/``, ``translation.json``, a figure and, from CycleGAN, the translator and its history.

    Returns:
        What it cost: ``train_seconds`` (of training and writing), ``peak_memory_mb``, and ``wasserstein``.

    Raises:
        UserError: a set is empty or unreadable, another number of processes began the training, the perceptual network
            does not load, the folder holds another translation, or the disk is full.
        Interrupted: asked to stop; the place is kept.
    """
    for dataset in (request.source, request.target):
        if len(dataset) == 0:
            raise UserError(f"{dataset.spec} ({dataset.split}) holds no images to translate between")
    reset_peak_memory()
    begin, seconds = time.monotonic(), 0.0
    if fabric.is_global_zero:
        _claim(folder, hash_of(request.identity()))
    finished, has_translator = (folder / TRANSLATION).exists(), (folder / TRANSLATOR).exists()
    fabric.barrier()  # all have looked before any writes, so that they all take the same way
    if not finished:
        if request.translator == "cyclegan" and not has_translator:
            seconds = _train(request, folder=folder, cache=cache, fabric=fabric)
            begin = time.monotonic()
        team = Team(fabric)
        _write_images(request, _function(request, folder, device=str(fabric.device)), folder, team)
        if team.first:
            _finish(request, folder)
        team.meet()
    return {
        "train_seconds": round(seconds + time.monotonic() - begin, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "wasserstein": read_verified_json(folder / TRANSLATION)["wasserstein"],
    }


def _claim(folder: Path, identity: str) -> None:
    path = folder / IDENTITY
    if path.exists() and read_verified_json(path)["identity"] != identity:
        raise UserError(
            f"{folder} holds a translation of other data or with other settings; choose another folder with -o, "
            "or delete it"
        )
    if not path.exists() and (taken := [name for name in ("images", "labels") if (folder / name).exists()]):
        raise UserError(
            f"{folder} already holds {' and '.join(taken)} that no translation wrote; choose another folder with -o"
        )
    write_verified_json(path, {"identity": identity})


def build_translator(request: TranslateRequest) -> CycleGan:
    """The translator, initialised from the request's seed."""
    perceptual = None if request.perceptual is None else load_network(request.perceptual)[0]
    torch.manual_seed(request.seed)
    training = request.training
    translator = CycleGan(
        request.options,
        learning_rate=training.learning_rate,
        discriminator_learning_rate=training.discriminator_learning_rate,
        perceptual=perceptual,
    )
    if request.options.colour_match:
        translator.match_colours(mean_std_line(*_colours(request)))
    return translator


def _train(request: TranslateRequest, *, folder: Path, cache: Path, fabric: Fabric) -> float:
    translator = build_translator(request)
    translator.to(fabric.device)
    training = request.training
    if training.channels_last:
        translator.to(memory_format=torch.channels_last)
    if training.batch_size % fabric.world_size:
        raise UserError(
            f"a batch of {training.batch_size} cannot be split over {fabric.world_size} processes evenly; "
            "change training.batch_size of the translate stage"
        )

    def stream(name: str, dataset: Dataset, transform: Transform, first_step: int) -> Iterator[Batch]:
        if training.cache and transform.size is not None:
            dataset = cached(
                dataset,
                size=transform.size,
                folder=cache,
                labels=False,
                resample=transform.resample,
                reading=transform.reading,
            )
        return batches(
            dataset,
            transform=transform,
            batch_size=training.batch_size // fabric.world_size,
            seed=request.seed,
            first_step=first_step,
            steps=training.steps,
            workers=training.workers,
            labels=False,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            stream=name,
        )

    def both(first_step: int) -> tuple[Iterator[Batch], Iterator[Batch]]:
        return (
            stream("source", request.source, training.source_transform, first_step),
            stream("target", request.target, training.target_transform, first_step),
        )

    fitted = trained(
        translator, both, settings=training, folder=folder, fabric=fabric, seed=request.seed, title=request.title
    )
    if fabric.is_global_zero:
        save_translator(folder / TRANSLATOR, translator, note={"seed": request.seed, "steps": training.steps})
    fabric.barrier()
    return fitted.seconds


def _function(request: TranslateRequest, folder: Path, *, device: str) -> Callable[[Image], Image]:
    """From a source image to one in the target's look."""
    if request.translator == "cyclegan":
        generator = load_generator(folder / TRANSLATOR, device=device)
        return lambda image: translated_image(generator, image, request.writing, device=device)
    matched = histogram_curves if request.translator == "histogram" else mean_std_curves
    curves = matched(*_colours(request))
    return lambda image: through_curves(image, curves)


def _colours(request: TranslateRequest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The colour histograms of source and target."""
    return channel_histograms(sampled_images(request.source)), channel_histograms(sampled_images(request.target))


def _write_images(request: TranslateRequest, function: Callable[[Image], Image], folder: Path, team: Team) -> None:
    """Every image that is not there yet, shared out; a file that is there is whole."""
    source = request.source
    waiting = [index for index, name in enumerate(source.names) if not translated_path(folder, name).exists()]
    team.meet()  # all have looked before any writes
    title, total = f"{request.title}: images", len(source)
    with stop_request() as stop, progress(title, total, done=total - len(waiting), silent=not team.first) as bar:
        for index in team.handed_out(waiting, bar):
            if stop:
                raise Interrupted("stopped while writing translated images; those written are kept")
            picture = PILImage.fromarray(function(source.image(index)))
            save_picture(translated_path(folder, source.names[index]), picture)
    team.meet()


def _finish(request: TranslateRequest, folder: Path) -> None:
    content = {
        "translator": request.translator,
        "identity": hash_of(request.identity()),
        "images": len(request.source),
        "source": {"spec": request.source.spec, "split": request.source.split},
        "target": {"spec": request.target.spec, "split": request.target.split},
    }
    translated = Translated(request.source, folder, finished=False)
    source = untranslated(request.source)
    _write_figure(source, translated, request.target, folder / FIGURE)
    distances = colour_distances(source, translated, request.target)
    write_verified_json(folder / TRANSLATION, {**content, "wasserstein": distances})


def _write_figure(source: Dataset, translated: Dataset, target: Dataset, path: Path) -> None:
    """Source, translated and target side by side, for a few images chosen by position."""
    rows = []
    indices = zip(evenly_spaced(FIGURE_IMAGES, len(source)), evenly_spaced(FIGURE_IMAGES, len(target)), strict=False)
    size: tuple[int, int] | None = None
    for index, other in indices:
        panels = {
            "source": source.image(index),
            "translated": translated.image(index),
            "target (another scene)": target.image(other),
        }
        size = size or picture_size(panels["source"].shape[1], panels["source"].shape[0])
        rows.append(side_by_side([(title, _shrunk(image, size)) for title, image in panels.items()]))
    write_stacked(path, rows)


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(PILImage.fromarray(image).resize(size, PILImage.Resampling.LANCZOS))


def write_labels(source: Dataset, folder: Path) -> None:
    """The source's labels and a ``dataset.yaml`` beside its translated images: ``folder:DIR/dataset.yaml`` opens it."""
    import yaml

    space = source.class_space
    classes = [
        {"name": name, "colour": list(colour)} for name, colour in zip(space.classes, space.colours, strict=True)
    ]
    description: dict[str, Any] = {"name": space.name, "images": "images", "classes": classes}
    if source.has_labels:
        description["labels"] = "labels"
        for index, name in enumerate(source.names):
            path = folder / "labels" / f"{name}.png"
            if not path.exists():
                save_picture(path, PILImage.fromarray(source.label(index)))
    write_bytes(folder / "dataset.yaml", yaml.safe_dump(description, sort_keys=False).encode())
