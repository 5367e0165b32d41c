"""The two passes over the images. Both keep their place: killed or stopped, they go on where they were."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from acclimate.data.loading import EvaluationBatch
from acclimate.io.progress import progress
from acclimate.pseudo.asking import selected
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.score_counts import ScoreCounts
from acclimate.pseudo.store import PseudoLabelFolder
from acclimate.pseudo.tally import Tally
from acclimate.pseudo.thresholds import Thresholds
from acclimate.stages.labelling.request import LabelRequest, ScoredImages, true_labels
from acclimate.training.interrupt import Interrupted, StopRequest

FIRST_PASS, SECOND_PASS = "first-pass.safetensors", "second-pass.json"
SECONDS_BETWEEN_SAVES = 20.0


def first_pass(
    request: LabelRequest, images: ScoredImages, folder: Path, stop: StopRequest, *, device: str
) -> ScoreCounts:
    """Counts the scores of all pixels, from which the thresholds follow.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    scores = ScoreCounts(len(request.class_space), labelled=request.data.has_labels, device=device)

    def count(batch: EvaluationBatch, maps: ScoreMaps) -> None:
        scores.add(maps, true_labels(batch, maps))

    _keeping_place(
        images, count, scores, folder / FIRST_PASS, request=request, what="scores", doing="scoring", stop=stop
    )
    return scores


def second_pass(
    request: LabelRequest,
    images: ScoredImages,
    thresholds: Mapping[Confidence, Thresholds],
    place: PseudoLabelFolder,
    stop: StopRequest,
) -> Tally:
    """Writes every image's pseudo-label, and counts what both confidences select.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    tally = Tally(request.class_space.classes)

    def write(batch: EvaluationBatch, maps: ScoreMaps) -> None:
        picked = {name: selected(maps, thresholds[name], request.selection) for name in CONFIDENCES}
        tally.add(maps, picked, true_labels(batch, maps))
        for name, label in zip(batch.names, picked[request.selection.confidence].cpu().numpy(), strict=True):
            place.write(name, label)

    _keeping_place(
        images, write, tally, place.folder / SECOND_PASS, request=request, what="labels", doing="labelling", stop=stop
    )
    return tally


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
