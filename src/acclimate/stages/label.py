"""The verb ``label``: a checkpoint and an unlabelled set -> pseudo-labels and a manifest, in constant memory.

Two passes over the images. The first fills score histograms, from which the thresholds follow; the second writes one
PNG per image. Both keep their place, so that an interrupted command goes on where it stopped; the manifest comes last
and is what makes the folder one that can be trained on. Labels of the set, where it has any, only measure the result.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.data.class_space import VOID, ClassSpace
from acclimate.data.loading import EvaluationBatch, images_in_order
from acclimate.data.sample import Dataset
from acclimate.data.wrappers import PseudoLabelled
from acclimate.errors import UserError
from acclimate.files import hash_of, hash_of_file, write_json
from acclimate.models.network import SegmentationNetwork
from acclimate.progress import progress
from acclimate.pseudo.asking import asked, selected
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.curves import JudgedHistogram, error_against_kept, threshold_sweep
from acclimate.pseudo.figure import selection_figure
from acclimate.pseudo.histogram import ScoreHistogram, load_histograms, save_histograms
from acclimate.pseudo.quality import SelectionChange, SelectionQuality, nearest_label, quality_table
from acclimate.pseudo.sisc import LabelInference
from acclimate.pseudo.store import PseudoLabelFolder, pseudo_label_manifest, read_manifest
from acclimate.pseudo.thresholds import Kept, Selection, Thresholds, class_thresholds, kept_share
from acclimate.sheets import write_sheet
from acclimate.stages.evaluate import evenly_spaced, load_networks, picture_size
from acclimate.training.interrupt import Interrupted, StopRequest, stop_request
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.verified import read_verified_json, write_verified_json

log = logging.getLogger(__name__)

FIRST_PASS, SECOND_PASS, CURVES = "first-pass.safetensors", "second-pass.json", "curves.json"
SECONDS_BETWEEN_SAVES = 20.0
FIGURE_IMAGES = 3
PORTIONS = tuple(round(0.05 * step, 2) for step in range(1, 21))


@dataclass(frozen=True)
class LabelRequest:
    """Everything a ``label`` stage depends on.

    Attributes:
        checkpoint: the network.
        data: the images; their labels, if any, only measure the result.
        class_space: the network's classes.
        selection: which pixels become pseudo-labels.
        input_size: (width, height) images are resized to; None: native size.
        inference: how the network is asked: once, mirrored, or in SISC's patches.
        prior: spatial prior (C, h, w) in [0, 1] that multiplies the probabilities; None: none.
        native: write labels at the images' native size, instead of the size the network sees.
        batch_size: images at a time; memory grows with it.
        title: for the progress bar.
    """

    checkpoint: Path
    data: Dataset
    class_space: ClassSpace
    selection: Selection
    input_size: tuple[int, int] | None
    batch_size: int = 1
    inference: LabelInference = field(default_factory=LabelInference)
    prior: NDArray[np.float32] | None = None
    native: bool = False
    title: str = "label"

    def identity(self) -> str:
        """A hash of everything the labels depend on."""
        further: dict[str, Any] = {}
        if not self.inference.plain:
            further["inference"] = self.inference.identity()
        if self.prior is not None:
            further["prior"] = hashlib.sha256(self.prior.tobytes()).hexdigest()
        return hash_of(
            {
                "checkpoint": hash_of_file(self.checkpoint),
                "data": self.data.fingerprint(),
                "selection": self.selection.identity(),
                **further,
                "input_size": self.input_size,
                "native": self.native,
            }
        )


def laid_over(dataset: Dataset, folder: Path) -> Dataset:
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
        with stop_request() as stop:
            judged, plain = _first_pass(request, networks[0], folder, stop, device=device)
            _second_pass(request, networks[0], place, judged, plain, stop, device=device)
    return {
        "train_seconds": round(time.monotonic() - begin, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "kept": read_manifest(folder)["kept_overall"],
    }


def label_summary(folder: Path) -> str:
    """The manifest of a finished folder in a few lines."""
    manifest = read_manifest(folder)
    width = max(map(len, manifest["classes"]))
    lines = [f"{manifest['images']} images, {100 * (manifest['kept_overall'] or 0):.1f} % of all pixels kept"]
    lines.append(f"{'class':{width}}  threshold   kept")
    for name, threshold, kept in zip(manifest["classes"], manifest["thresholds"], manifest["kept"], strict=True):
        shown = "never predicted" if kept is None else f"{threshold:9.4f}  {100 * kept:4.1f} %"
        lines.append(f"{name:{width}}  {shown}")
    if manifest["quality"] is not None:
        for void in ("ignored", "wrong"):
            table = manifest["quality"]["table"][f"void {void}"]
            parts = [f"{name} {100 * (table[f'{name} overall'] or 0):.2f} %" for name in CONFIDENCES]
            lines.append(f"wrong among the selected (void {void}): {', '.join(parts)}")
    return "\n".join(lines)


def sweep_table(request: LabelRequest, *, device: str) -> str:
    """Kept and error shares for the bounds of ESL Table 5, from one pass over the data; nothing is written."""
    networks, _ = load_networks([request.checkpoint], request.class_space, device=device)
    judged, plain = _histograms(request, device)
    for _, batch, maps in _scored(request, networks[0], 0, device=device):
        _count(request, judged, plain, batch, maps)
    lines = [f"{'confidence':10}  {'bound':>7}  {'kept':>7}  {'wrong':>7}  {'wrong, void counted':>20}"]
    for name in CONFIDENCES:
        bounds = (0.8, 0.85, 0.9, 0.95, 0.99) if name == "softmax" else (0.05, 0.1, 0.15, 0.2, 0.3)
        histogram = judged[name] if judged else plain[name]
        for row in threshold_sweep(histogram, bounds=bounds, convention=request.selection.convention):
            errors = row.error or {}
            shown = [f"{100 * e:6.2f}%" if e is not None else "-" for e in (errors.get("ignored"), errors.get("wrong"))]
            kept = 100 * (row.kept.overall or 0)
            lines.append(f"{name:10}  {row.name:>7}  {kept:6.2f}%  {shown[0]:>7}  {shown[1]:>20}")
    return "\n".join(lines)


# --- the first pass ------------------------------------------------------------------------------------------------

_Judged = dict[Confidence, JudgedHistogram]
_Plain = dict[Confidence, ScoreHistogram]


def _first_pass(
    request: LabelRequest, network: SegmentationNetwork, folder: Path, stop: StopRequest, *, device: str
) -> tuple[_Judged, _Plain]:
    judged, plain = _histograms(request, device)
    first = _resume_first_pass(request, folder, judged, plain, device=device)
    saved = time.monotonic()
    with progress(f"{request.title}: scores", len(request.data), done=first) as bar:
        for done, batch, maps in _scored(request, network, first, device=device):
            _count(request, judged, plain, batch, maps)
            bar.advance(len(batch.names))
            last, stopping = done == len(request.data), bool(stop)
            if last or stopping or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                histograms: dict[str, ScoreHistogram] = {
                    **{f"{name}/{part}": h for name, j in judged.items() for part, h in j.parts().items()},
                    **dict(plain.items()),
                }
                save_histograms(folder / FIRST_PASS, histograms, progress={"images": str(done)})
                saved = time.monotonic()
            if stopping and not last:
                raise Interrupted(f"stopped after scoring {done} of {len(request.data)} images; the place is kept")
    return judged, plain


def _histograms(request: LabelRequest, device: str) -> tuple[_Judged, _Plain]:
    classes = len(request.class_space)
    if request.data.has_labels:
        return {name: JudgedHistogram(classes, name, device=device) for name in CONFIDENCES}, {}
    return {}, {name: ScoreHistogram(classes, name, device=device) for name in CONFIDENCES}


def _resume_first_pass(request: LabelRequest, folder: Path, judged: _Judged, plain: _Plain, *, device: str) -> int:
    if not (folder / FIRST_PASS).exists():
        return 0
    try:
        histograms, place = load_histograms(folder / FIRST_PASS, device=device)
    except UserError as error:
        log.warning("labelling begins its first pass anew: %s", error)
        return 0
    for name, j in judged.items():
        for part, histogram in j.parts().items():
            histogram.counts += histograms[f"{name}/{part}"].counts
    for name, histogram in plain.items():
        histogram.counts += histograms[name].counts
    return int(place["images"])


def _count(request: LabelRequest, judged: _Judged, plain: _Plain, batch: EvaluationBatch, maps: ScoreMaps) -> None:
    for name, histogram in plain.items():
        histogram.add(maps.prediction, maps.uncertainty[name])
    for name, j in judged.items():
        j.add(maps.prediction, maps.uncertainty[name], _labels_at(batch, maps))


def _scored(
    request: LabelRequest, network: SegmentationNetwork, first: int, *, device: str
) -> Iterator[tuple[int, EvaluationBatch, ScoreMaps]]:
    """(images done, batch, its predictions and uncertainties at the size labels are written in)."""
    done = first
    prior = None if request.prior is None else torch.from_numpy(request.prior).to(device)
    for batch in images_in_order(
        request.data,
        size=request.input_size,
        batch_size=1 if request.native else request.batch_size,
        labels=request.data.has_labels,
        start=first,
    ):
        size = batch.sizes[0] if request.native else (batch.images.shape[2], batch.images.shape[3])
        done += len(batch.names)
        yield (
            done,
            batch,
            asked(
                network,
                batch.images.to(device),
                names=batch.names,
                size=size,
                selection=request.selection,
                inference=request.inference,
                prior=prior,
            ),
        )


def _labels_at(batch: EvaluationBatch, maps: ScoreMaps) -> torch.Tensor:
    assert batch.labels is not None
    size = (maps.prediction.shape[1], maps.prediction.shape[2])
    return torch.from_numpy(np.stack([nearest_label(item, size) for item in batch.labels])).to(maps.prediction.device)


# --- the second pass -----------------------------------------------------------------------------------------------


class _Tally:
    """What the second pass counts on its way, and keeps when it is interrupted."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.invalid = 0
        self.selected = np.zeros(256, dtype=np.int64)
        self.change = SelectionChange()
        self.quality = {name: SelectionQuality(classes) for name in CONFIDENCES}

    def add(self, maps: ScoreMaps, picked: dict[Confidence, torch.Tensor], labels: torch.Tensor | None) -> None:
        self.invalid += int((maps.prediction == VOID).sum())
        self.selected += np.bincount(picked["softmax"].cpu().numpy().ravel(), minlength=256)
        self.change.add(maps.prediction, picked["softmax"], picked["entropy"], labels)
        if labels is not None:
            for name, part in self.quality.items():
                part.add(labels.cpu().numpy(), picked[name].cpu().numpy())

    def save(self, path: Path, *, images: int) -> None:
        quality = {name: part.counts.tolist() for name, part in self.quality.items()}
        content = {
            "images": images,
            "invalid": self.invalid,
            "selected": self.selected.tolist(),
            "change": self.change.counts.tolist(),
            "quality": quality,
        }
        write_verified_json(path, content)

    def restore(self, path: Path) -> int:
        """Takes up what was saved; returns how many images it covers."""
        if not path.exists():
            return 0
        try:
            content = read_verified_json(path)
        except UserError as error:  # labels are written anew, and to the same values
            log.warning("labelling begins its second pass anew: %s", error)
            return 0
        self.invalid = int(content["invalid"])
        self.selected += np.array(content["selected"], dtype=np.int64)
        self.change.counts += np.array(content["change"], dtype=np.int64)
        for name, part in self.quality.items():
            part.counts += np.array(content["quality"][name], dtype=np.int64)
        return int(content["images"])


def _second_pass(
    request: LabelRequest,
    network: SegmentationNetwork,
    place: PseudoLabelFolder,
    judged: _Judged,
    plain: _Plain,
    stop: StopRequest,
    *,
    device: str,
) -> None:
    everything = {**plain, **{name: j.everything() for name, j in judged.items()}}
    thresholds = {name: _thresholds(request.selection, everything[name], name) for name in CONFIDENCES}
    tally = _Tally(request.class_space.classes)
    first = tally.restore(place.folder / SECOND_PASS)
    saved = time.monotonic()
    with progress(f"{request.title}: labels", len(request.data), done=first) as bar:
        for done, batch, maps in _scored(request, network, first, device=device):
            picked = {name: selected(maps, thresholds[name], request.selection) for name in CONFIDENCES}
            tally.add(maps, picked, _labels_at(batch, maps) if judged else None)
            for image, ids in zip(batch.names, picked[request.selection.confidence].cpu().numpy(), strict=True):
                place.write(image, ids)
            bar.advance(len(batch.names))
            last, stopping = done == len(request.data), bool(stop)
            if last or stopping or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                tally.save(place.folder / SECOND_PASS, images=done)
                saved = time.monotonic()
            if stopping and not last:
                raise Interrupted(f"stopped after labelling {done} of {len(request.data)} images; the place is kept")
    _write_figure(request, network, thresholds, place.folder, device=device)
    measured: dict[str, Any] = {"change": tally.change.summary()}
    if judged:
        measured["table"] = quality_table(tally.quality["softmax"], tally.quality["entropy"])
        curves = {name: [asdict(p) for p in error_against_kept(j, portions=PORTIONS)] for name, j in judged.items()}
        write_json(place.folder / CURVES, curves)
    confidence = request.selection.confidence
    looks = {"inference": request.inference.identity(), "spatial_prior": request.prior is not None}
    place.finish(
        (looks if any(looks.values()) else {})
        | pseudo_label_manifest(
            classes=request.class_space.classes,
            selection=request.selection,
            thresholds=thresholds[confidence],
            kept=_kept(request, everything[confidence], thresholds[confidence], tally),
            checkpoint=hash_of_file(request.checkpoint),
            data={
                "spec": request.data.spec,
                "split": request.data.split,
                "fingerprint": request.data.fingerprint(),
            },
            images=len(request.data),
            invalid_pixels=tally.invalid,
            quality=measured if judged else None,
        )
    )


def _kept(request: LabelRequest, histogram: ScoreHistogram, thresholds: Thresholds, tally: _Tally) -> Kept:
    """What was selected: counted where the decision may choose another class than the most probable one."""
    if request.selection.decision == "class-balanced":
        return Kept(histogram.pixels, tally.selected[: histogram.classes].tolist())
    return kept_share(histogram, thresholds)


def _thresholds(selection: Selection, histogram: ScoreHistogram, confidence: Confidence) -> Thresholds:
    """The selection's thresholds; those of the other confidence, for comparison, under the same rule."""
    update: dict[str, Any] = {"confidence": confidence}
    if confidence != selection.confidence:
        update["decision"] = "most probable"
    return class_thresholds(histogram, selection.model_copy(update=update))


def _write_figure(
    request: LabelRequest,
    network: SegmentationNetwork,
    thresholds: dict[Confidence, Thresholds],
    folder: Path,
    *,
    device: str,
) -> None:
    """ESL Figure 2 for a few images chosen by position."""
    figures = []
    for index in evenly_spaced(FIGURE_IMAGES, len(request.data)):
        _, batch, maps = next(_scored(request, network, index, device=device))
        image = request.data.image(index)
        width, height = picture_size(image.shape[1], image.shape[0])

        def shown(ids: NDArray[np.uint8], size: tuple[int, int] = (height, width)) -> NDArray[np.uint8]:
            return nearest_label(ids, size)

        picked = {name: selected(maps, thresholds[name], request.selection)[0].cpu().numpy() for name in CONFIDENCES}
        figures.append(
            selection_figure(
                softmax=shown(picked["softmax"]),
                entropy=shown(picked["entropy"]),
                palette=request.class_space.palette(),
                label=None if batch.labels is None else shown(batch.labels[0]),
            )
        )
    write_sheet(folder / "figure.png", figures)
