"""The verb ``label``: a checkpoint and an unlabelled set -> pseudo-labels and a manifest, in constant memory.

Two passes over the images. The first fills score histograms, from which the thresholds follow; the second writes one
PNG per image. Both keep their place, so that an interrupted command goes on where it stopped; the manifest comes last
and is what makes the folder one that can be trained on. Labels of the set, where it has any, only measure the result.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from acclimate.data.sample import Dataset
from acclimate.data.wrappers import PseudoLabelled
from acclimate.errors import UserError
from acclimate.pseudo.confidence import CONFIDENCES
from acclimate.pseudo.curves import TABLE_5_FLOORS, threshold_sweep
from acclimate.pseudo.score_counts import ScoreCounts
from acclimate.pseudo.store import PseudoLabelFolder, read_manifest
from acclimate.stages.evaluate import load_networks
from acclimate.stages.labelling.figure import write_figure
from acclimate.stages.labelling.outcome import manifest_of, write_curves
from acclimate.stages.labelling.passes import first_pass, second_pass
from acclimate.stages.labelling.request import LabelRequest, scored, true_labels
from acclimate.training.interrupt import stop_request
from acclimate.training.resources import peak_memory_mb, reset_peak_memory

__all__ = ["LabelRequest", "label", "label_summary", "laid_over", "sweep_table"]


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
        images = partial(scored, request, networks[0], device=device)
        with stop_request() as stop:
            scores = first_pass(request, images, folder, stop, device=device)
            thresholds = scores.thresholds(request.selection)
            tally = second_pass(request, images, thresholds, place, stop)
            write_figure(request, images, thresholds, folder / "figure.png")
            if scores.judged:
                write_curves(scores.judged, folder / "curves.json")
            place.finish(manifest_of(request, scores, thresholds[request.selection.confidence], tally))
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
    scores = ScoreCounts(len(request.class_space), labelled=request.data.has_labels, device=device)
    for batch, maps in scored(request, networks[0], 0, device=device):
        scores.add(maps, true_labels(batch, maps))
    lines = [f"{'confidence':10}  {'bound':>7}  {'kept':>7}  {'wrong':>7}  {'wrong, void counted':>20}"]
    for name in CONFIDENCES:
        bounds = (0.8, 0.85, 0.9, 0.95, 0.99) if name == "softmax" else TABLE_5_FLOORS
        for row in threshold_sweep(scores.histogram(name), bounds=bounds, convention=request.selection.convention):
            errors = row.error or {}
            shown = [f"{100 * e:6.2f}%" if e is not None else "-" for e in (errors.get("ignored"), errors.get("wrong"))]
            kept = 100 * (row.kept.overall or 0)
            lines.append(f"{name:10}  {row.name:>7}  {kept:6.2f}%  {shown[0]:>7}  {shown[1]:>20}")
    return "\n".join(lines)
