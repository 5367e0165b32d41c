"""The verb ``label``: a checkpoint and an unlabelled set -> pseudo-labels and a manifest, in constant memory.

Two passes over the images. The first fills score histograms, from which the thresholds follow; the second writes one
PNG per image. Both keep their place, so that an interrupted command goes on where it stopped; the manifest comes last
and is what makes the folder one that can be trained on. Labels of the set, where it has any, only measure the result.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.data.loading import EvaluationBatch, images_in_order
from acclimate.data.sample import Dataset
from acclimate.data.spatial_prior import spatial_prior
from acclimate.data.wrappers import MANIFEST, PseudoLabelled
from acclimate.errors import UserError
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.evaluation.pictures import evenly_spaced, picture_size
from acclimate.io.files import hash_of, hash_of_file
from acclimate.io.identity import identity, speed_only
from acclimate.io.panels import write_stacked
from acclimate.io.progress import progress
from acclimate.labels import resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.counts import ScoreCounts, SelectionCounts
from acclimate.pseudo.curves import TABLE_5_FLOORS, threshold_sweep
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.selection import pseudo_labels
from acclimate.pseudo.sisc import LabelInference, Patches
from acclimate.pseudo.store import PseudoLabelFolder, pseudo_label_manifest, read_manifest
from acclimate.pseudo.thresholds import Kept, Selection, Thresholds, kept_share
from acclimate.stages.evaluate import load_networks
from acclimate.stages.label_results import label_summary, selection_figure, write_curves
from acclimate.stages.stage import MODEL, Context, Place, Stage, StageSettings
from acclimate.training.interrupt import Interrupted, StopRequest, stop_request
from acclimate.training.resources import peak_memory_mb, reset_peak_memory

__all__ = ["LabelRequest", "label", "label_summary", "sweep_table", "with_pseudo_labels"]

SCORES, SELECTED = "first-pass.safetensors", "second-pass.json"
SECONDS_BETWEEN_SAVES = 20.0
FIGURE_IMAGES = 3


@dataclass(frozen=True)
class LabelRequest:
    """Everything a ``label`` stage depends on.

    Attributes:
        checkpoint: the network.
        data: the images; their labels, if any, only measure the result.
        class_space: the network's classes.
        selection: which pixels become pseudo-labels.
        inference: how the network sees images, or their patches.
        patches: SISC's patches; None: whole images.
        prior: spatial prior (C, h, w) in [0, 1] that multiplies the probabilities; None: none.
        native: write labels at the images' native size, instead of the size the network sees.
        batch_size: images at a time; memory grows with it.
        title: for the progress bar.
    """

    checkpoint: Path
    data: Dataset
    class_space: ClassSpace
    selection: Selection
    inference: Inference = ONCE
    patches: Patches | None = None
    prior: NDArray[np.float32] | None = None
    native: bool = False
    batch_size: int = 1
    title: str = "label"

    def views(self) -> dict[str, Any]:
        """How the network sees images, as JSON; empty where it sees each once as a whole."""
        found: dict[str, Any] = {}
        if not self.inference.single:
            found |= self.inference.model_dump(mode="json", exclude={"size", "resample", "windows_at_once"})
        if self.patches is not None:
            found["patches"] = self.patches.model_dump(mode="json", exclude={"patches_at_once"})
        return found

    def identity(self) -> str:
        """A hash of everything the labels depend on."""
        further = {} if self.prior is None else {"prior": hashlib.sha256(self.prior.tobytes()).hexdigest()}
        return hash_of(
            {
                "checkpoint": hash_of_file(self.checkpoint),
                "data": self.data.fingerprint(),
                "selection": self.selection.identity(),
                "inference": self.views(),
                **further,
                "input_size": self.inference.size,
                "native": self.native,
            }
        )


class LabelStage(StageSettings):
    """``label``: pseudo-labels of the target's training images from an earlier stage's checkpoint.

    With ``spatial_prior`` the probabilities are multiplied by where the source's labels have each class (CBST-SP).
    """

    verb = "label"
    label: str
    selection: Selection = Selection()
    inference: LabelInference = LabelInference()
    spatial_prior: bool = False
    batch_size: PositiveInt = speed_only(1)

    def ready(self, context: Context) -> Sequence[Stage]:
        return [PseudoLabelledTarget(context, self)]


class PseudoLabelledTarget(Stage):
    """A folder of label maps and ``manifest.json``."""

    verb = "label"
    products = (MANIFEST,)

    def __init__(self, context: Context, stage: LabelStage) -> None:
        self.model = context.finished[stage.label]
        super().__init__(context, inputs=[self.model])
        self.stage, self.method = stage, self.model.method

    def identity(self) -> dict[str, Any]:
        data = self.context.data
        return {
            "checkpoint": self.model.key,
            "data": data.target.fingerprint(),
            "selection": self.stage.selection.identity(),
            "inference": identity(self.stage.inference),
            "input_size": self.context.recipe.prediction_size(),
            "spatial_prior": data.source.fingerprint() if self.stage.spatial_prior else None,
        }

    def run(self, place: Place) -> dict[str, Any]:
        data, stage = self.context.data, self.stage
        request = LabelRequest(
            checkpoint=self.model.folder / MODEL,
            data=data.target,
            class_space=data.class_space,
            selection=stage.selection,
            inference=stage.inference.views(size=self.context.recipe.prediction_size()),
            patches=stage.inference.in_patches(),
            batch_size=stage.batch_size,
            prior=spatial_prior(data.source, place.cache) if stage.spatial_prior else None,
            title=self.title,
        )
        return label(request, folder=place.folder, device=str(place.fabric.device))


ScoredImages: TypeAlias = Callable[[int], Iterator[tuple[EvaluationBatch, ScoreMaps]]]
"""From the position of the first image wanted to batches and their score maps, in the set's order."""


def with_pseudo_labels(dataset: Dataset, folder: Path) -> Dataset:
    """The data set with the pseudo-labels of a finished folder in place of its own labels."""
    read_manifest(folder)
    return PseudoLabelled(dataset, folder)


def label(request: LabelRequest, *, folder: Path, device: str) -> dict[str, Any]:
    """Writes ``labels/NAME.png``, ``manifest.json``, and with true labels ``curves.json``, into ``folder``.

    Returns:
        What it cost: ``train_seconds`` (of labelling), ``peak_memory_mb``, ``kept``.

    Raises:
        UserError: the set is empty or unreadable, the checkpoint has other classes, the disk is full, or the folder
            holds other labels.
        Interrupted: asked to stop; the place is kept.
    """
    begin = time.monotonic()
    if len(request.data) == 0:
        raise UserError(f"{request.data.spec} ({request.data.split}) holds no images to label")
    reset_peak_memory()
    networks, _ = load_networks([request.checkpoint], request.class_space, device=device)
    place = PseudoLabelFolder(folder, identity=request.identity())
    if not place.finished:
        images = partial(scored, request, networks[0], device=device)
        with stop_request() as stop:
            scores = _count_scores(request, images, folder, stop, device=device)
            thresholds = scores.thresholds(request.selection)
            selected = _write_labels(request, images, thresholds, place, stop)
            _write_figure(request, images, thresholds, folder / "figure.png")
            if scores.judged:
                write_curves(scores.judged, folder / "curves.json")
            place.finish(_manifest(request, scores, thresholds[request.selection.confidence], selected))
    return {
        "train_seconds": round(time.monotonic() - begin, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "kept": read_manifest(folder)["kept_overall"],
    }


def sweep_table(request: LabelRequest, *, device: str) -> str:
    """Kept and error shares for the bounds of ESL Table 5, from one pass over the data; nothing is written."""
    networks, _ = load_networks([request.checkpoint], request.class_space, device=device)
    scores = ScoreCounts(len(request.class_space), labelled=request.data.has_labels, device=device)
    for batch, maps in scored(request, networks[0], 0, device=device):
        scores.add(maps, _true_labels(batch, maps))
    lines = [f"{'confidence':10}  {'bound':>7}  {'kept':>7}  {'wrong':>7}  {'wrong, void counted':>20}"]
    for name in CONFIDENCES:
        bounds = (0.8, 0.85, 0.9, 0.95, 0.99) if name == "softmax" else TABLE_5_FLOORS
        for row in threshold_sweep(scores.histogram(name), bounds=bounds, convention=request.selection.convention):
            errors = row.error or {}
            shown = [f"{100 * e:6.2f}%" if e is not None else "-" for e in (errors.get("ignored"), errors.get("wrong"))]
            kept = 100 * (row.kept.overall or 0)
            lines.append(f"{name:10}  {row.name:>7}  {kept:6.2f}%  {shown[0]:>7}  {shown[1]:>20}")
    return "\n".join(lines)


def scored(
    request: LabelRequest, network: SegmentationNetwork, first: int, *, device: str
) -> Iterator[tuple[EvaluationBatch, ScoreMaps]]:
    """Batches from image ``first`` on, with predictions and uncertainties at the size labels are written in."""
    prior = None if request.prior is None else torch.from_numpy(request.prior).to(device)
    scoring = Scoring(request.selection, request.inference, request.patches, prior)
    for batch in images_in_order(
        request.data,
        size=request.inference.size,
        batch_size=1 if request.native else request.batch_size,
        labels=request.data.has_labels,
        start=first,
    ):
        size = batch.sizes[0] if request.native else (batch.images.shape[2], batch.images.shape[3])
        yield batch, scoring.score(network, batch.images.to(device), names=batch.names, size=size)


def _true_labels(batch: EvaluationBatch, maps: ScoreMaps) -> Tensor | None:
    """The batch's own labels at the size of its maps, (B, H, W) uint8 train ids, void 255; None where it has none."""
    if batch.labels is None:
        return None
    size = (maps.prediction.shape[2], maps.prediction.shape[1])
    labels = np.stack([resized_label(item, size) for item in batch.labels])
    return torch.from_numpy(labels).to(maps.prediction.device)


def _count_scores(
    request: LabelRequest, images: ScoredImages, folder: Path, stop: StopRequest, *, device: str
) -> ScoreCounts:
    """The first pass: counts the scores of all pixels, from which the thresholds follow.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    scores = ScoreCounts(len(request.class_space), labelled=request.data.has_labels, device=device)

    def count(batch: EvaluationBatch, maps: ScoreMaps) -> None:
        scores.add(maps, _true_labels(batch, maps))

    _keeping_place(images, count, scores, folder / SCORES, request=request, what="scores", doing="scoring", stop=stop)
    return scores


def _write_labels(
    request: LabelRequest,
    images: ScoredImages,
    thresholds: Mapping[Confidence, Thresholds],
    place: PseudoLabelFolder,
    stop: StopRequest,
) -> SelectionCounts:
    """The second pass: writes every image's pseudo-label, and counts what is selected.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    written, labelled = request.selection.confidence, request.data.has_labels
    selected = SelectionCounts(request.class_space.classes, confidence=written, labelled=labelled)

    def write(batch: EvaluationBatch, maps: ScoreMaps) -> None:
        wanted = CONFIDENCES if labelled else (written,)
        picked = {name: pseudo_labels(maps, thresholds[name], request.selection) for name in wanted}
        selected.add(maps, picked, _true_labels(batch, maps))
        for name, label in zip(batch.names, picked[written].cpu().numpy(), strict=True):
            place.write(name, label)

    path = place.folder / SELECTED
    _keeping_place(images, write, selected, path, request=request, what="labels", doing="labelling", stop=stop)
    return selected


class _Counts(Protocol):
    """What a pass gathers on its way, and keeps when it is interrupted."""

    def save(self, path: Path, *, images: int) -> None:
        """Writes what was gathered from the first ``images`` images."""

    def restore(self, path: Path) -> int:
        """Takes up what was saved; returns how many images it covers."""


def _keeping_place(
    images: ScoredImages,
    take: Callable[[EvaluationBatch, ScoreMaps], None],
    counts: _Counts,
    path: Path,
    *,
    request: LabelRequest,
    what: str,
    doing: str,
    stop: StopRequest,
) -> None:
    """Takes every batch that ``counts`` does not cover yet; saves them now and then, when stopped, and at the end."""
    total, done = len(request.data), counts.restore(path)
    saved = time.monotonic()
    with progress(f"{request.title}: {what}", total, done=done) as bar:
        for batch, maps in images(done):
            take(batch, maps)
            done += len(batch.names)
            bar.advance(len(batch.names))
            last, stopping = done == total, bool(stop)
            if last or stopping or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                counts.save(path, images=done)
                saved = time.monotonic()
            if stopping and not last:
                raise Interrupted(f"stopped after {doing} {done} of {total} images; the place is kept")


def _write_figure(
    request: LabelRequest, images: ScoredImages, thresholds: Mapping[Confidence, Thresholds], path: Path
) -> None:
    """Writes what both confidences select, as a PNG; the images are chosen by position alone."""
    rows = []
    for index in evenly_spaced(FIGURE_IMAGES, len(request.data)):
        batch, maps = next(images(index))
        width, height = picture_size(batch.sizes[0][1], batch.sizes[0][0])
        shown = partial(resized_label, size=(width, height))
        picked = {
            name: pseudo_labels(maps, thresholds[name], request.selection)[0].cpu().numpy() for name in CONFIDENCES
        }
        rows.append(
            selection_figure(
                softmax=shown(picked["softmax"]),
                entropy=shown(picked["entropy"]),
                palette=request.class_space.palette(),
                label=None if batch.labels is None else shown(batch.labels[0]),
            )
        )
    write_stacked(path, rows)


def _manifest(
    request: LabelRequest, scores: ScoreCounts, thresholds: Thresholds, selected: SelectionCounts
) -> dict[str, Any]:
    """The manifest of a stage whose labels are all written; ``thresholds`` are the selection's own."""
    further = {"inference": request.views(), "spatial_prior": request.prior is not None}
    return (further if any(further.values()) else {}) | pseudo_label_manifest(
        classes=request.class_space.classes,
        selection=request.selection,
        thresholds=thresholds,
        kept=_kept(request, scores, thresholds, selected),
        checkpoint=hash_of_file(request.checkpoint),
        data={
            "spec": request.data.spec,
            "split": request.data.split,
            "fingerprint": request.data.fingerprint(),
        },
        images=len(request.data),
        invalid_pixels=selected.invalid,
        quality=selected.measured(),
    )


def _kept(request: LabelRequest, scores: ScoreCounts, thresholds: Thresholds, selected: SelectionCounts) -> Kept:
    """What was selected: counted where the decision may choose another class than the most probable one."""
    histogram = scores.everything(thresholds.confidence)
    if request.selection.decision == "class-balanced":
        return Kept(histogram.pixels, selected.selected[: histogram.classes].tolist())
    return kept_share(histogram, thresholds)
