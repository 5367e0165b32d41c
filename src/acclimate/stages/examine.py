"""What the doctor looks at: a run's sets before anything is trained, and every trained model, on a few pictures.

No recipe names these stages: a run of label maps does them by itself, as many pictures each as its ``examine`` says.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import Translated
from acclimate.doctor.findings import BASELINE, Finding
from acclimate.doctor.models import findings_in_model
from acclimate.doctor.sets import findings_in_sets
from acclimate.doctor.signals import SIGNALS, ModelSignals, SetSignals, SourceSignals, TargetSignals
from acclimate.errors import UserError
from acclimate.evaluation.confusion import ConfusionMatrix
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.label_free import label_free_scores, predicted_probabilities
from acclimate.evaluation.pictures import evenly_spaced
from acclimate.evaluation.predict import predict_labels
from acclimate.io.checksums import write_verified_json
from acclimate.io.progress import progress
from acclimate.labels import VOID, resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.stages.evaluate import EvaluateStage, load_networks
from acclimate.stages.pictures import FOLDER, write_pictures
from acclimate.stages.stage import MODEL, Context, Done, Place, Stage
from acclimate.stages.train import TrainStage
from acclimate.translation.colour import channel_histograms, wasserstein

log = logging.getLogger(__name__)

PICTURED = 6
"""Frames of the target that are pictured where the recipe scores nothing, so that no other stage pictures them."""
SCORED = 16
"""Frames that the scores without labels are computed on, as in an ``evaluate`` stage."""
WIDEST = 512
"""Pixels: wider labels are reduced to this before they are compared with predictions."""
_GRID = (32, 16)
"""Width and height at which label maps of different frames are compared."""


class ExaminedSets(Stage):
    """What :class:`SetSignals` says of source and target."""

    verb = "examine"
    products = (SIGNALS,)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.title = "look at the data"

    def identity(self) -> dict[str, Any]:
        data, recipe = self.context.data, self.context.recipe
        return {
            "sets": [data.source.fingerprint(), data.target.fingerprint()],
            "frames": recipe.examine,
            "transforms": [transform.model_dump(mode="json", include={"size"}) for transform in _transforms(recipe)],
            "translated": _translated(recipe),
        }

    def run(self, place: Place) -> dict[str, Any]:
        recipe, data = self.context.recipe, self.context.data
        source, target = (_Glimpse.of(domain, recipe.examine) for domain in (data.source, data.target))
        red, green, blue = (round(float(value), 2) for value in wasserstein(source.colours, target.colours))
        stretches = [
            1.0 if transform.size is None else round(transform.size[0] / transform.size[1] / domain.aspect, 4)
            for transform, domain in zip(_transforms(recipe), (source, target), strict=True)
        ]
        signals = SetSignals(
            colour_distance=(red, green, blue),
            aspects=(round(source.aspect, 4), round(target.aspect, 4)),
            stretches=(stretches[0], stretches[1]),
            target_difference=target.difference(),
            translated=_translated(recipe),
        )
        write_verified_json(place.folder / SIGNALS, signals.model_dump(mode="json"))
        _tell(findings_in_sets(signals))
        return {}


class ExaminedModel(Stage):
    """What :class:`ModelSignals` says of a trained model; and pictures, where no other stage makes them."""

    verb = "examine"
    products = (SIGNALS,)

    def __init__(self, context: Context, trained: Done) -> None:
        super().__init__(context, inputs=[trained])
        self.trained, self.method = trained, trained.method
        self.title = f"look at {context.name}"
        scores = any(isinstance(stage, EvaluateStage) for stage in context.recipe.stages.values())
        self.pictures = 0 if scores else PICTURED

    def identity(self) -> dict[str, Any]:
        data, recipe = self.context.data, self.context.recipe
        return {
            "name": self.context.name,
            "checkpoint": self.trained.key,
            "sets": [self._source()[0].fingerprint(), data.target.fingerprint()],
            "frames": recipe.examine,
            "pictures": self.pictures,
            "size": recipe.prediction_size(),
        }

    def run(self, place: Place) -> dict[str, Any]:
        context, device = self.context, str(place.fabric.device)
        (network,), _ = load_networks([self.trained.folder / MODEL], context.data.class_space, device=device)
        inference = Inference(size=context.recipe.prediction_size())
        source, held_out = self._source()
        with progress(self.title, 2) as bar:
            on_source = source_signals(
                network, source, held_out=held_out, count=context.recipe.examine, inference=inference, device=device
            )
            bar.advance()
            on_target = target_signals(
                network,
                context.data.target,
                classes=context.data.class_space.classes,
                count=context.recipe.examine,
                inference=inference,
                labels=on_source.labels if on_source else None,
                device=device,
            )
            bar.advance()
        signals = ModelSignals(method=self.method, source=on_source, target=on_target)
        if self.pictures:
            write_pictures(
                place.folder / FOLDER,
                context.name,
                [network],
                {"target": context.data.target},
                count=self.pictures,
                class_space=context.data.class_space,
                inference=inference,
                labels=False,
                device=device,
            )
        write_verified_json(place.folder / SIGNALS, signals.model_dump(mode="json"))
        found = findings_in_model(context.name, signals)
        if self.method != BASELINE:  # what source-only has too was said of source-only
            found = (each for each in found if each.severity == "alarm" and each.kind != "weak source model")
        _tell(found)
        return {}

    def _source(self) -> tuple[Dataset, bool]:
        """Labelled pictures of the source, and whether they were held out: another split's where there is one."""
        source = self.context.data.source
        stage = self.context.recipe.stages[self.context.name]
        if isinstance(stage, TrainStage) and (translation := self.context.earlier(stage.source)) is not None:
            return Translated(source, translation.folder), False
        for split in ("val", "test"):
            if split != source.split:
                try:
                    held_out = open_dataset(source.spec, split=split, class_space=self.context.data.class_space)
                except UserError:
                    continue
                if held_out.has_labels and len(held_out):
                    return held_out, True
        return source, False


def source_signals(
    network: SegmentationNetwork, source: Dataset, *, held_out: bool, count: int, inference: Inference, device: str
) -> SourceSignals | None:
    """What a network makes of a few labelled pictures; None where no label can be read.

    Args:
        network: in evaluation mode.
        source: labelled.
        held_out: for the record.
        count: how many pictures, evenly spaced; those that cannot be read are passed over.
        inference: how the network is asked.
    """
    if not source.has_labels:
        return None
    confusion = ConfusionMatrix(source.class_space.classes)
    maps: list[NDArray[np.uint8]] = []
    for index in evenly_spaced(count, len(source)):
        try:
            image, label = source.image(index), source.label(index)
        except UserError:
            continue  # what is wrong with files is for the reader and `acclimate check` to say
        height, width = label.shape
        if width > WIDEST:
            label = resized_label(label, (WIDEST, max(1, round(height * WIDEST / width))))
        size = (label.shape[0], label.shape[1])
        guess = predict_labels([network], inference.prepared(image).to(device), size=size, inference=inference)
        confusion.add(label, guess[0].cpu().numpy())
        maps.append(resized_label(label, _GRID))
    accuracy = confusion.pixel_accuracy()
    if accuracy is None:
        return None
    counts = confusion.counts
    names = confusion.classes
    return SourceSignals(
        split=source.split,
        held_out=held_out,
        images=len(maps),
        iou={name: _rounded(value) for name, value in zip(names, confusion.iou(), strict=True)},
        accuracy=round(accuracy, 6),
        labels=_shares(counts.sum(axis=1), names),
        predicted=_shares(counts[:, : len(names)].sum(axis=0), names),
        similarity=similarity(maps, classes=len(names)),
    )


def target_signals(
    network: SegmentationNetwork,
    target: Dataset,
    *,
    classes: Sequence[str],
    count: int,
    inference: Inference,
    labels: dict[str, float] | None,
    device: str,
) -> TargetSignals:
    """What a network makes of a few target pictures, whose labels are not read.

    Args:
        network: in evaluation mode.
        target: its pictures.
        classes: names.
        count: how many pictures, evenly spaced; those that cannot be read are passed over.
        inference: how the network is asked.
        labels: class -> share among the source's labels; None: the divergence from them is left out.
    """
    counts = np.zeros(len(classes), dtype=np.int64)
    maps: list[NDArray[np.uint8]] = []
    confidences: list[float] = []
    kept: list[torch.Tensor] = []
    chosen = evenly_spaced(count, len(target))
    scored = {chosen[position] for position in evenly_spaced(SCORED, len(chosen))}
    for index in chosen:
        try:
            (probabilities,) = predicted_probabilities(
                [network], target, [index], inference=inference, weights=None, device=device
            )
        except UserError:
            continue
        highest, guess = probabilities.max(dim=0)
        ids = guess.numpy().astype(np.uint8)
        counts += np.bincount(ids.ravel(), minlength=len(classes))
        maps.append(resized_label(ids, _GRID))
        confidences.append(float(highest.mean()))
        if index in scored:
            kept.append(probabilities)
    if not maps or not kept:
        raise UserError(f"{target.spec} ({target.split}): none of the pictures looked at can be read; check the set")
    ratios = None if labels is None else torch.tensor([labels.get(name, 0.0) for name in classes], dtype=torch.float64)
    return TargetSignals(
        images=len(maps),
        predicted=_shares(counts, classes),
        similarity=similarity(maps, classes=len(classes)),
        confidence=round(statistics.fmean(confidences), 6),
        scores=label_free_scores(kept, source_ratios=ratios),
    )


def similarity(maps: Sequence[NDArray[np.uint8]], *, classes: int) -> float:
    """Share of the pixels on which two of the maps agree, over all pairs; void pixels agree with nothing.

    Args:
        maps: of one size.
        classes: ids below this are classes.
    """
    if len(maps) < 2:
        return 0.0
    stack = np.stack(maps).reshape(len(maps), -1)
    counts = np.stack([(stack == k).sum(axis=0) for k in range(classes)]).astype(np.int64)
    pairs = int((counts * (counts - 1)).sum())
    labelled = (stack != VOID).sum(axis=0).astype(np.int64)
    known = int((labelled * (labelled - 1)).sum())
    return round(pairs / known, 6) if known else 0.0


@dataclass(frozen=True)
class _Glimpse:
    """What a few pictures of a set are like: colour histograms (3, 256), median aspect, small grey copies."""

    colours: NDArray[np.int64]
    aspect: float
    small: list[NDArray[np.float64]]

    @classmethod
    def of(cls, dataset: Dataset, count: int) -> _Glimpse:
        """Of evenly spaced pictures, those aside that cannot be read."""
        colours = np.zeros((3, 256), dtype=np.int64)
        aspects: list[float] = []
        small: list[NDArray[np.float64]] = []
        for index in evenly_spaced(count, len(dataset)):
            try:
                image = dataset.image(index)
            except UserError:
                continue
            colours += channel_histograms([image])
            aspects.append(image.shape[1] / image.shape[0])
            grey = PILImage.fromarray(image).convert("L").resize((64, 32), PILImage.Resampling.BOX)
            small.append(np.asarray(grey, dtype=np.float64))
        if not aspects:
            raise UserError(
                f"{dataset.spec} ({dataset.split}): not one of {count} pictures can be read; `acclimate check` lists "
                "what is wrong"
            )
        return cls(colours, statistics.median(aspects), small)

    def difference(self) -> float | None:
        """Median over neighbours of the mean difference in grey levels; None for fewer than four pictures."""
        if len(self.small) < 4:
            return None
        neighbours = zip(self.small, self.small[1:], strict=False)
        return round(statistics.median(float(np.abs(a - b).mean()) for a, b in neighbours), 3)


def _tell(findings: Iterable[Finding]) -> None:
    """Says at once what is worth more than a note: before hours are spent on what comes next."""
    for finding in findings:
        if finding.severity != "note":
            log.warning("%s", finding.sentence())


def _transforms(recipe: Any) -> tuple[Transform, Transform]:
    """How the first stage that trains brings source and target to size."""
    stage = next((each for each in recipe.stages.values() if isinstance(each, TrainStage)), TrainStage(train=""))
    settings = recipe.training_settings(stage)
    return settings.source_transform, settings.target_transform


def _translated(recipe: Any) -> bool:
    """Whether every stage that trains on the source reads it translated, or follows one that does."""
    return any(isinstance(stage, TrainStage) and stage.source is not None for stage in recipe.stages.values())


def _shares(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    total = max(1, int(counts.sum()))
    return {name: round(int(count) / total, 7) for name, count in zip(names, counts, strict=True)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
