"""Measuring what the doctor looks at: a network's answers on a few labelled source and unlabelled target pictures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.doctor.signals import SourceSignals, TargetSignals
from acclimate.errors import UserError
from acclimate.evaluation.confusion import ConfusionMatrix
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.label_free import label_free_scores, predicted_probabilities
from acclimate.evaluation.predict import predict_labels
from acclimate.labels import VOID, resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.translation.colour import channel_histograms

SCORED = 16
"""Frames that the scores without labels are computed on, as in an ``evaluate`` stage."""
WIDEST = 512
"""Pixels: wider labels are reduced to this before they are compared with predictions."""
_GRID = (32, 16)
"""Width and height at which label maps of different frames are compared."""


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
        blind=blind_accuracy(maps, classes=len(names)),
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


def blind_accuracy(maps: Sequence[NDArray[np.uint8]], *, classes: int) -> float | None:
    """How often a place of a label map has the class that it has most often in the others; None for fewer than four.

    Args:
        maps: of one size; void pixels are left out, ties count as wrong.
        classes: ids below this are classes.
    """
    if len(maps) < 4:
        return None
    stack = np.stack(maps).reshape(len(maps), -1)
    counts = np.stack([(stack == k).sum(axis=0) for k in range(classes)])
    right = known = 0
    for label in stack:
        own = np.arange(classes)[:, None] == label[None]
        others = counts - own
        highest_other = np.where(own, -1, others).max(axis=0)
        mine = np.where(own, others, -1).max(axis=0)
        valid = label < classes
        right += int((mine > highest_other)[valid].sum())
        known += int(valid.sum())
    return round(right / known, 6) if known else None


@dataclass(frozen=True)
class Glimpse:
    """What a few pictures of a set are like: colour histograms (3, 256), median aspect, small grey copies."""

    colours: NDArray[np.int64]
    aspect: float
    small: list[NDArray[np.float64]]

    @classmethod
    def of(cls, dataset: Dataset, count: int) -> Glimpse:
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


def _shares(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    total = max(1, int(counts.sum()))
    return {name: round(int(count) / total, 7) for name, count in zip(names, counts, strict=True)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
