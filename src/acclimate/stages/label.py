"""The verb ``label``: a checkpoint and an unlabelled set -> pseudo-labels and a manifest, in constant memory.

Two passes over the images (``stages/label_passes.py``). The first fills score histograms, from which the thresholds
follow, the second writes one PNG per image; where the disk allows, the network sees each image in the first one only.
The manifest comes last and is what makes the folder one that can be trained on. Labels of the set, where it has any,
only measure the result.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt

from acclimate.data.class_space import ClassSpace
from acclimate.data.sample import Dataset
from acclimate.data.spatial_prior import spatial_prior
from acclimate.data.wrappers import MANIFEST, PseudoLabelled, Subset
from acclimate.errors import UserError
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.io.files import hash_of, hash_of_file
from acclimate.io.identity import identity, speed_only
from acclimate.io.progress import progress
from acclimate.models.ensemble import MeanOfNetworks
from acclimate.models.network import SegmentationNetwork
from acclimate.pseudo.confidence import CONFIDENCES
from acclimate.pseudo.counts import ScoreCounts, SelectionCounts
from acclimate.pseudo.curves import TABLE_5_FLOORS, threshold_sweep
from acclimate.pseudo.ranking import EasySplit
from acclimate.pseudo.scores_on_disk import ScoresOnDisk
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.sisc import LabelInference, Patches
from acclimate.pseudo.store import PseudoLabelFolder, pseudo_label_manifest, read_manifest
from acclimate.pseudo.thresholds import Kept, Selection, Thresholds, kept_share
from acclimate.stages.evaluate import load_networks
from acclimate.stages.label_passes import Labelling, count_scores, forget_places, write_figure, write_labels
from acclimate.stages.label_results import label_summary, write_curves
from acclimate.stages.stage import MODEL, PREDICTION_WORK, Context, Place, Stage, StageSettings
from acclimate.training.interrupt import stop_request
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.team import ALONE, Team

__all__ = [
    "LabelRequest",
    "easy_and_hard",
    "label",
    "label_summary",
    "label_with_networks",
    "sweep_table",
    "with_pseudo_labels",
]

SCORES_FOLDER, SCORES_ON_DISK = "scores", 16.0
"""Where what a network says is kept between the passes, and how many gigabytes it may take."""


@dataclass(frozen=True)
class LabelRequest:
    """Everything a ``label`` stage depends on.

    Attributes:
        checkpoints: the network; of several, the mean of their probabilities labels.
        data: the images; their labels, if any, only measure the result.
        class_space: the network's classes.
        selection: which pixels become pseudo-labels.
        inference: how the network sees images, or their patches.
        patches: SISC's patches; None: whole images.
        prior: spatial prior (C, h, w) in [0, 1] that multiplies the probabilities; None: none.
        native: write labels at the images' native size, instead of the size the network sees.
        split: how the images are split into easy and hard ones, told in the manifest; None: they are not.
        batch_size: images at a time; memory grows with it.
        scores_on_disk: gigabytes (10^9 bytes) that what the network says may take on disk until the labels are written,
            so that it sees each image once; where they do not suffice it sees some twice. Speed alone.
        title: for the progress bar.
    """

    checkpoints: tuple[Path, ...]
    data: Dataset
    class_space: ClassSpace
    selection: Selection
    inference: Inference = ONCE
    patches: Patches | None = None
    prior: NDArray[np.float32] | None = None
    native: bool = False
    split: EasySplit | None = None
    batch_size: int = 1
    scores_on_disk: float = SCORES_ON_DISK
    title: str = "label"

    def views(self) -> dict[str, Any]:
        """How the network sees images, as JSON; empty where it sees each once as a whole."""
        found: dict[str, Any] = {}
        if not self.inference.single:
            found |= self.inference.model_dump(mode="json", exclude={"size", "resample", "windows_at_once"})
        if self.patches is not None:
            found["patches"] = self.patches.model_dump(mode="json", exclude={"patches_at_once"})
        return found

    def hash(self) -> str:
        """The digest of the checkpoint's file; of several, theirs joined by plus signs."""
        return "+".join(hash_of_file(path) for path in self.checkpoints)

    def identity(self) -> str:
        """A hash of everything the labels depend on."""
        further: dict[str, Any] = {}
        if self.prior is not None:
            further["prior"] = hashlib.sha256(self.prior.tobytes()).hexdigest()
        if self.split is not None:
            further["split"] = identity(self.split)
        return hash_of(
            {
                "checkpoint": self.hash(),
                "data": self.data.fingerprint(),
                "selection": identity(self.selection),
                "inference": identity(self.inference),
                "patches": None if self.patches is None else identity(self.patches),
                **further,
                "native": self.native,
            }
        )


class LabelStage(StageSettings):
    """``label``: pseudo-labels of the target's training images from an earlier stage's checkpoint, or from several.

    Several label together by the mean of their probabilities.
    With ``spatial_prior`` the probabilities are multiplied by where the source's labels have each class (CBST-SP). With
    ``split`` the images are also split into easy and hard ones, for a later stage's ``easy_to_hard`` (IntraDA).
    """

    verb = "label"
    takes = MappingProxyType({"label": "train"})
    label: str | Annotated[list[str], Field(min_length=1)]
    selection: Selection = Selection()
    inference: LabelInference = LabelInference()
    spatial_prior: bool = False
    split: EasySplit | None = None
    batch_size: PositiveInt = speed_only(1)
    scores_on_disk: NonNegativeFloat = speed_only(SCORES_ON_DISK)

    def models(self) -> list[str]:
        """The stages whose networks label."""
        return [self.label] if isinstance(self.label, str) else list(self.label)

    def ready(self, context: Context) -> Sequence[Stage]:
        return [PseudoLabelledTarget(context, self)]


class PseudoLabelledTarget(Stage):
    """A folder of label maps and ``manifest.json``."""

    verb = "label"
    products = (MANIFEST,)
    shared = True

    def __init__(self, context: Context, stage: LabelStage) -> None:
        self.models = [context.finished[name] for name in stage.models()]
        super().__init__(context, inputs=self.models)
        self.stage, self.method = stage, self.models[0].method

    def identity(self) -> dict[str, Any]:
        data = self.context.data
        return {
            "checkpoint": self.models[0].key if len(self.models) == 1 else [model.key for model in self.models],
            "data": data.target.fingerprint(),
            "selection": identity(self.stage.selection),
            "inference": identity(self.stage.inference),
            "input_size": self.context.recipe.prediction_size(),
            "spatial_prior": data.source.fingerprint() if self.stage.spatial_prior else None,
            **({"split": identity(self.stage.split)} if self.stage.split is not None else {}),
        }

    def work(self) -> float:
        return 2 * PREDICTION_WORK * len(self.context.data.target)

    def run(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = self.context.task.label(self, place)
        return found


def label_with_networks(labelled: PseudoLabelledTarget, place: Place) -> dict[str, Any]:
    """Labels the target with segmentation networks, as :class:`PseudoLabelledTarget` says."""
    context, stage = labelled.context, labelled.stage
    data, size = context.data, context.recipe.prediction_size()
    request = LabelRequest(
        checkpoints=tuple(model.folder / MODEL for model in labelled.models),
        data=data.target,
        class_space=data.class_space,
        selection=stage.selection,
        inference=stage.inference.views(size=size),
        patches=stage.inference.in_patches(),
        split=stage.split,
        batch_size=stage.batch_size,
        scores_on_disk=stage.scores_on_disk,
        prior=spatial_prior(data.source, place.cache) if stage.spatial_prior else None,
        title=labelled.title,
    )
    return label(request, folder=place.folder, device=str(place.fabric.device), team=Team(place.fabric))


def with_pseudo_labels(dataset: Dataset, folder: Path) -> Dataset:
    """The data set with the pseudo-labels of a finished folder in place of its own labels."""
    read_manifest(folder)
    return PseudoLabelled(dataset, folder)


def easy_and_hard(dataset: Dataset, folder: Path) -> tuple[Dataset, Dataset]:
    """The easy images of a set with the pseudo-labels of a finished folder, and its hard ones.

    Raises:
        UserError: the folder's labelling did not split its images, or those of another set.
    """
    split = read_manifest(folder).get("split")
    if split is None:
        raise UserError(f"{folder} does not say which images are easy; give its label stage a split")
    places = {name: index for index, name in enumerate(dataset.names)}
    if set(places) != {*split["easy"], *split["hard"]}:
        raise UserError(f"{folder} splits other images than those of {dataset.spec} ({dataset.split}); label again")
    easy, hard = (sorted(places[name] for name in split[part]) for part in ("easy", "hard"))
    return Subset(PseudoLabelled(dataset, folder), easy), Subset(dataset, hard)


def label(request: LabelRequest, *, folder: Path, device: str, team: Team = ALONE) -> dict[str, Any]:
    """Writes ``labels/NAME.png``, ``manifest.json``, and with true labels ``curves.json``, into ``folder``.

    Args:
        request: what is labelled, and how.
        folder: of all processes; a labelling begun there goes on.
        device: of this process.
        team: who shares the images; the labels do not depend on it.

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
    networks, _ = load_networks(request.checkpoints, request.class_space, device=device)
    place = PseudoLabelFolder(folder, identity=request.identity(), claim=team.first)
    team.meet()
    if not place.finished:
        labelling = _labelling(request, networks, device=device, team=team)
        limit = int(request.scores_on_disk * 1e9)
        kept = ScoresOnDisk(folder / SCORES_FOLDER, limit=limit, processes=team.size)
        with stop_request() as stop:
            scores = count_scores(labelling, folder, kept, stop)
            thresholds = scores.thresholds(request.selection)
            selected = write_labels(labelling, thresholds, place, kept, stop)
            write_figure(labelling, thresholds, folder / "figure.png")
            if team.first:
                kept.remove()
                if scores.judged:
                    write_curves(scores.judged, folder / "curves.json")
                place.finish(_manifest(request, scores, thresholds[request.selection.confidence], selected))
                forget_places(folder)
            team.meet()
    return {
        "train_seconds": round(time.monotonic() - begin, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "kept": read_manifest(folder)["kept_overall"],
    }


def sweep_table(request: LabelRequest, *, device: str, team: Team = ALONE) -> str:
    """Kept and error shares for the bounds of ESL Table 5, from one pass over the data; nothing is written.

    Of several processes, the first gives the table, the others nothing.
    """
    networks, _ = load_networks(request.checkpoints, request.class_space, device=device)
    scores = ScoreCounts(len(request.class_space), labelled=request.data.has_labels, device=device)
    labelling = _labelling(request, networks, device=device, team=team)
    with progress(request.title, len(request.data), silent=not team.first) as bar:
        for block in team.handed_out(labelling.blocks, bar, size=len):
            for scored in labelling.scored(block):
                scores.add(scored.maps, scored.labels)
    for counts in scores.tensors():
        team.sum(counts)
    if not team.first:
        return ""
    lines = [f"{'confidence':10}  {'bound':>7}  {'kept':>7}  {'wrong':>7}  {'wrong, void counted':>20}"]
    for name in CONFIDENCES:
        bounds = (0.8, 0.85, 0.9, 0.95, 0.99) if name == "softmax" else TABLE_5_FLOORS
        for row in threshold_sweep(scores.histogram(name), bounds=bounds, convention=request.selection.convention):
            errors = row.error or {}
            shown = [f"{100 * e:6.2f}%" if e is not None else "-" for e in (errors.get("ignored"), errors.get("wrong"))]
            kept = 100 * (row.kept.overall or 0)
            lines.append(f"{name:10}  {row.name:>7}  {kept:6.2f}%  {shown[0]:>7}  {shown[1]:>20}")
    return "\n".join(lines)


def _labelling(request: LabelRequest, networks: Sequence[SegmentationNetwork], *, device: str, team: Team) -> Labelling:
    network = networks[0] if len(networks) == 1 else cast(SegmentationNetwork, MeanOfNetworks(networks).eval())
    prior = None if request.prior is None else torch.from_numpy(request.prior).to(device)
    return Labelling(
        data=request.data,
        class_space=request.class_space,
        network=network,
        scoring=Scoring(request.selection, request.inference, request.patches, prior),
        native=request.native,
        batch_size=request.batch_size,
        ranked=request.split is not None,
        device=device,
        title=request.title,
        team=team,
    )


def _manifest(
    request: LabelRequest, scores: ScoreCounts, thresholds: Thresholds, selected: SelectionCounts
) -> dict[str, Any]:
    """The manifest of a stage whose labels are all written; ``thresholds`` are the selection's own."""
    further: dict[str, Any] = {"inference": request.views(), "spatial_prior": request.prior is not None}
    further = further if any(further.values()) else {}
    if request.split is not None:
        assert selected.ranking is not None
        further["split"] = dict(selected.ranking.split(request.split, request.class_space.classes))
    return further | pseudo_label_manifest(
        classes=request.class_space.classes,
        selection=request.selection,
        thresholds=thresholds,
        kept=_kept(request, scores, thresholds, selected),
        checkpoint=request.hash(),
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
