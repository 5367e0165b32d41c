"""The two passes of labelling over the images. Both keep their place: killed or stopped, they go on where they were.

What the network said of an image in the first pass is kept on disk, within a bound, so that the second one reads it
instead of running the network again. What was not kept is predicted again: the labels are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.data.loading import images_in_order
from acclimate.data.sample import Dataset, Label, evenly_spaced
from acclimate.evaluation.pictures import picture_size
from acclimate.io.panels import write_stacked
from acclimate.io.progress import progress
from acclimate.labels import resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.counts import ScoreCounts, SelectionCounts
from acclimate.pseudo.scores_on_disk import ScoresOnDisk
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.selection import pseudo_labels
from acclimate.pseudo.store import PseudoLabelFolder
from acclimate.pseudo.thresholds import Thresholds
from acclimate.stages.label_results import selection_figure
from acclimate.training.interrupt import Interrupted, StopRequest

SCORES, SELECTED = "first-pass.safetensors", "second-pass.json"
SECONDS_BETWEEN_SAVES = 20.0
FIGURE_IMAGES = 3


@dataclass(frozen=True)
class Scored:
    """Consecutive images with what the network says of them.

    Attributes:
        number: of the first of them in the set.
        maps: predictions and uncertainties at the size labels are written in.
        answers: what the maps are made of, see :meth:`Scoring.answers`; None where the maps were read from disk.
        seen: (h, w) of the images the network saw.
        native_labels: true train ids at native size; None where there are none.
        sizes: native (height, width) of each image.
    """

    number: int
    maps: ScoreMaps
    answers: Tensor | None
    seen: tuple[int, int]
    native_labels: Sequence[Label] | None
    sizes: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.maps.prediction)

    @property
    def labels(self) -> Tensor | None:
        """True labels at the size of the maps, (B, H, W) uint8 train ids, void 255; None where there are none."""
        if self.native_labels is None:
            return None
        height, width = self.maps.prediction.shape[1:]
        labels = np.stack([resized_label(item, (width, height)) for item in self.native_labels])
        return torch.from_numpy(labels).to(self.maps.prediction.device)


@dataclass(frozen=True)
class Labelling:
    """A set of images on its way to pseudo-labels.

    Attributes:
        data: the images; their labels, if any, only measure the result.
        class_space: the network's classes.
        network: in evaluation mode, on ``device``.
        scoring: how score maps come from images, and which pixels are selected.
        native: labels get the images' native size instead of the size the network sees.
        batch_size: images at a time.
        ranked: the images are ranked by their entropy as well.
        device: of network and score maps.
        title: for the progress bar.
    """

    data: Dataset
    class_space: ClassSpace
    network: SegmentationNetwork
    scoring: Scoring
    native: bool
    batch_size: int
    ranked: bool
    device: str
    title: str

    @property
    def confidences(self) -> tuple[Confidence, ...]:
        """Whose scores are looked at: both are compared where there are true labels, and entropy ranks images."""
        return CONFIDENCES if self.data.has_labels or self.ranked else (self.scoring.selection.confidence,)

    def scored(self, first: int) -> Iterator[Scored]:
        """The images from number ``first`` on, predicted by the network."""
        for batch in images_in_order(
            self.data,
            size=self.scoring.inference.size,
            batch_size=1 if self.native else self.batch_size,
            labels=self.data.has_labels,
            start=first,
        ):
            seen = (batch.images.shape[2], batch.images.shape[3])
            answers = self.scoring.answers(self.network, batch.images.to(self.device), names=batch.names)
            maps = self.scoring.maps(answers, seen=seen, size=batch.sizes[0] if self.native else seen)
            yield Scored(batch.indices[0], maps, answers, seen, batch.labels, batch.sizes)

    def scored_again(self, first: int, kept: ScoresOnDisk) -> Iterator[Scored]:
        """The same images; those that are kept on disk are read instead of predicted."""
        number = first
        while number < len(self.data):
            if (found := self._read(number, kept)) is not None:
                yield found
                number += 1
                continue
            for found in self.scored(number):
                yield found
                number += len(found)
                if kept.has(number):
                    break

    def keep(self, scored: Scored, kept: ScoresOnDisk) -> None:
        """Keeps what the second pass needs of images that the network just saw."""
        assert scored.answers is not None
        for place in range(len(scored)):
            size = scored.maps.prediction.shape[1:]
            low = {"answers": scored.answers[place], "sizes": torch.tensor([*scored.seen, *size])}
            choices = [low]
            if self.scoring.selection.decision == "most probable":
                maps = {"prediction": scored.maps.prediction[place]}
                maps |= {name: scored.maps.uncertainty[name][place] for name in self.confidences}
                choices.append(maps)
            if scored.answers.device.type == "cpu":
                choices.reverse()  # there, making the maps again takes longer than reading the larger files
            fitting = [parts for parts in choices if kept.fits(parts, images=len(self.data))]
            kept.write(scored.number + place, (fitting or choices[-1:])[0])

    def _read(self, number: int, kept: ScoresOnDisk) -> Scored | None:
        parts = kept.read(number)
        if parts is None:
            return None
        labels = [self.data.label(number)] if self.data.has_labels else None
        parts = {name: part.to(self.device)[None] for name, part in parts.items()}
        if "answers" in parts:
            height, width, *size = parts["sizes"][0].tolist()
            maps = self.scoring.maps(parts["answers"], seen=(height, width), size=(size[0], size[1]))
        else:
            maps = ScoreMaps(parts["prediction"], {name: parts[name] for name in self.confidences})
        shape = maps.prediction.shape[1:]
        return Scored(number, maps, None, (shape[0], shape[1]), labels, [(shape[0], shape[1])])


def count_scores(labelling: Labelling, folder: Path, kept: ScoresOnDisk, stop: StopRequest) -> ScoreCounts:
    """The first pass: counts the scores of all pixels, from which the thresholds follow.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    scores = ScoreCounts(len(labelling.class_space), labelled=labelling.data.has_labels, device=labelling.device)

    def count(scored: Scored) -> None:
        scores.add(scored.maps, scored.labels)
        labelling.keep(scored, kept)

    _keeping_place(
        labelling, labelling.scored, count, scores, folder / SCORES, what="scores", doing="scoring", stop=stop
    )
    return scores


def write_labels(
    labelling: Labelling,
    thresholds: Mapping[Confidence, Thresholds],
    place: PseudoLabelFolder,
    kept: ScoresOnDisk,
    stop: StopRequest,
) -> SelectionCounts:
    """The second pass: writes every image's pseudo-label, and counts what is selected.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    selection, names = labelling.scoring.selection, labelling.data.names
    selected = SelectionCounts(
        labelling.class_space.classes,
        confidence=selection.confidence,
        labelled=labelling.data.has_labels,
        ranked=labelling.ranked,
    )

    def write(scored: Scored) -> None:
        picked = {name: pseudo_labels(scored.maps, thresholds[name], selection) for name in labelling.confidences}
        selected.add(scored.maps, picked, scored.labels)
        if selected.ranking is not None:
            selected.ranking.add(names[scored.number : scored.number + len(scored)], scored.maps)
        for number, label in enumerate(picked[selection.confidence].cpu().numpy(), start=scored.number):
            place.write(names[number], label)

    images = partial(labelling.scored_again, kept=kept)
    path = place.folder / SELECTED
    _keeping_place(labelling, images, write, selected, path, what="labels", doing="labelling", stop=stop)
    return selected


def write_figure(labelling: Labelling, thresholds: Mapping[Confidence, Thresholds], path: Path) -> None:
    """Writes what both confidences select of a few images, as a PNG; the images are chosen by position alone."""
    rows = []
    for number in evenly_spaced(FIGURE_IMAGES, len(labelling.data)):
        scored = next(labelling.scored(number))
        width, height = picture_size(scored.sizes[0][1], scored.sizes[0][0])
        shown = partial(resized_label, size=(width, height))
        picked: dict[Confidence, NDArray[np.uint8]] = {
            name: pseudo_labels(scored.maps, thresholds[name], labelling.scoring.selection)[0].cpu().numpy()
            for name in CONFIDENCES
        }
        rows.append(
            selection_figure(
                softmax=shown(picked["softmax"]),
                entropy=shown(picked["entropy"]),
                palette=labelling.class_space.palette(),
                label=None if scored.native_labels is None else shown(scored.native_labels[0]),
            )
        )
    write_stacked(path, rows)


class _Counts(Protocol):
    """What a pass gathers on its way, and keeps when it is interrupted."""

    def save(self, path: Path, *, images: int) -> None:
        """Writes what was gathered from the first ``images`` images."""

    def restore(self, path: Path) -> int:
        """Takes up what was saved; returns how many images it covers."""


def _keeping_place(
    labelling: Labelling,
    images: Callable[[int], Iterator[Scored]],
    take: Callable[[Scored], None],
    counts: _Counts,
    path: Path,
    *,
    what: str,
    doing: str,
    stop: StopRequest,
) -> None:
    """Takes all images that ``counts`` does not cover yet; saves them now and then, when stopped, and at the end."""
    total, done = len(labelling.data), counts.restore(path)
    saved = time.monotonic()
    with progress(f"{labelling.title}: {what}", total, done=done) as bar:
        for scored in images(done):
            take(scored)
            done += len(scored)
            bar.advance(len(scored))
            last, stopping = done == total, bool(stop)
            if last or stopping or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                counts.save(path, images=done)
                saved = time.monotonic()
            if stopping and not last:
                raise Interrupted(f"stopped after {doing} {done} of {total} images; the place is kept")
