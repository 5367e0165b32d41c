"""What a finished ``label`` stage says of itself: curves where the true labels are known, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acclimate.io.files import hash_of_file, write_json
from acclimate.pseudo.confidence import Confidence
from acclimate.pseudo.curves import JudgedHistogram, error_against_kept
from acclimate.pseudo.score_counts import ScoreCounts
from acclimate.pseudo.store import pseudo_label_manifest
from acclimate.pseudo.tally import Tally
from acclimate.pseudo.thresholds import Kept, Thresholds, kept_share
from acclimate.stages.labelling.request import LabelRequest

PORTIONS = tuple(round(0.05 * step, 2) for step in range(1, 21))


def write_curves(judged: Mapping[Confidence, JudgedHistogram], path: Path) -> None:
    """Writes the error share against the kept share, for each confidence a list of points."""
    curves = {name: [asdict(p) for p in error_against_kept(j, portions=PORTIONS)] for name, j in judged.items()}
    write_json(path, curves)


def manifest_of(request: LabelRequest, scores: ScoreCounts, thresholds: Thresholds, tally: Tally) -> dict[str, Any]:
    """The manifest of a stage whose labels are all written; ``thresholds`` are the selection's own."""
    looks = {"inference": request.inference.identity(), "spatial_prior": request.prior is not None}
    return (looks if any(looks.values()) else {}) | pseudo_label_manifest(
        classes=request.class_space.classes,
        selection=request.selection,
        thresholds=thresholds,
        kept=_kept(request, scores, thresholds, tally),
        checkpoint=hash_of_file(request.checkpoint),
        data={
            "spec": request.data.spec,
            "split": request.data.split,
            "fingerprint": request.data.fingerprint(),
        },
        images=len(request.data),
        invalid_pixels=tally.invalid,
        quality=tally.measured() if scores.judged else None,
    )


def _kept(request: LabelRequest, scores: ScoreCounts, thresholds: Thresholds, tally: Tally) -> Kept:
    """What was selected: counted where the decision may choose another class than the most probable one."""
    histogram = scores.everything(thresholds.confidence)
    if request.selection.decision == "class-balanced":
        return Kept(histogram.pixels, tally.selected[: histogram.classes].tolist())
    return kept_share(histogram, thresholds)
