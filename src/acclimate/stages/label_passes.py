"""The two passes of labelling over the images. Both keep their place: killed or stopped, they go on where they were.

What the network said of an image in the first pass is kept on disk, within a bound, so that the second one reads it
instead of running the network again. What was not kept is predicted again: the labels are the same.

The images are gone through in blocks of a batch, each handed to the first process of a run that is free. Which images
the network sees together depends on nothing else, so that labels are the same whatever the number of processes, and
wherever a pass was stopped. Each process keeps its own place, with the images it covers; what is covered by none is
handed out anew when the command goes on, be it in another number of processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.data.loading import images_in_order
from acclimate.data.sample import Dataset, Label, evenly_spaced
from acclimate.data.wrappers import Subset
from acclimate.evaluation.pictures import picture_size
from acclimate.io.panels import write_stacked
from acclimate.io.progress import progress
from acclimate.labels import resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.counts import Covered, ScoreCounts, SelectionCounts
from acclimate.pseudo.scores_on_disk import ScoresOnDisk
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.selection import pseudo_labels
from acclimate.pseudo.store import PseudoLabelFolder
from acclimate.pseudo.thresholds import Thresholds
from acclimate.stages.label_results import selection_figure
from acclimate.training.interrupt import Interrupted, StopRequest
from acclimate.training.team import ALONE, Team

SCORES, SELECTED = "first-pass-{}.safetensors", "second-pass-{}.json"
"""Where the process of a number keeps its place."""
SECONDS_BETWEEN_SAVES = 20.0
FIGURE_IMAGES = 3
log = logging.getLogger(__name__)


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
        team: who shares the images.
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
    team: Team = ALONE

    @property
    def confidences(self) -> tuple[Confidence, ...]:
        """Whose scores are looked at: both are compared where there are true labels, and entropy ranks images."""
        return CONFIDENCES if self.data.has_labels or self.ranked else (self.scoring.selection.confidence,)

    @property
    def blocks(self) -> list[range]:
        """The images in the order of the set, a batch each."""
        size, count = 1 if self.native else self.batch_size, len(self.data)
        return [range(first, min(first + size, count)) for first in range(0, count, size)]

    def scored(self, block: range) -> Iterator[Scored]:
        """The images of a block, predicted by the network: together those that follow each other and have one size."""
        for batch in images_in_order(
            Subset(self.data, block),
            size=self.scoring.inference.size,
            batch_size=len(block),
            labels=self.data.has_labels,
        ):
            seen = (batch.images.shape[2], batch.images.shape[3])
            answers = self.scoring.answers(self.network, batch.images.to(self.device), names=batch.names)
            maps = self.scoring.maps(answers, seen=seen, size=batch.sizes[0] if self.native else seen)
            yield Scored(block[batch.indices[0]], maps, answers, seen, batch.labels, batch.sizes)

    def scored_again(self, block: range, kept: ScoresOnDisk) -> Iterator[Scored]:
        """The same images, read from disk where all of them are kept there whole, else predicted."""
        found = [self._read(number, kept) for number in block] if all(map(kept.has, block)) else []
        whole = [each for each in found if each is not None]
        yield from whole if len(whole) == len(block) else self.scored(block)

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
            fitting = [parts for parts in choices if kept.fits(parts, images=-(-len(self.data) // self.team.size))]
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

    Returns:
        The counts of all processes together, in each of them.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """

    def nothing() -> ScoreCounts:
        return ScoreCounts(len(labelling.class_space), labelled=labelling.data.has_labels, device=labelling.device)

    def count(scores: ScoreCounts, scored: Scored) -> None:
        scores.add(scored.maps, scored.labels)
        labelling.keep(scored, kept)

    scores, earlier = _keeping_place(
        labelling, labelling.scored, nothing, count, folder, SCORES, what="scores", doing="scoring", stop=stop
    )
    if earlier:
        for counts, further in zip(scores.tensors(), earlier.tensors(), strict=True):
            counts += further
    for counts in scores.tensors():
        labelling.team.sum(counts)
    return scores


def write_labels(
    labelling: Labelling,
    thresholds: Mapping[Confidence, Thresholds],
    place: PseudoLabelFolder,
    kept: ScoresOnDisk,
    stop: StopRequest,
) -> SelectionCounts:
    """The second pass: writes every image's pseudo-label, and counts what is selected.

    Returns:
        The counts of all processes together, in each of them.

    Raises:
        Interrupted: asked to stop; the place is kept.
    """
    selection, names = labelling.scoring.selection, labelling.data.names

    def nothing() -> SelectionCounts:
        return SelectionCounts(
            labelling.class_space.classes,
            confidence=selection.confidence,
            labelled=labelling.data.has_labels,
            ranked=labelling.ranked,
        )

    def write(selected: SelectionCounts, scored: Scored) -> None:
        picked = {name: pseudo_labels(scored.maps, thresholds[name], selection) for name in labelling.confidences}
        selected.add(scored.maps, picked, scored.labels)
        if selected.ranking is not None:
            selected.ranking.add(names[scored.number : scored.number + len(scored)], scored.maps)
        for number, label in enumerate(picked[selection.confidence].cpu().numpy(), start=scored.number):
            place.write(names[number], label)

    images = partial(labelling.scored_again, kept=kept)
    selected, earlier = _keeping_place(
        labelling, images, nothing, write, place.folder, SELECTED, what="labels", doing="labelling", stop=stop
    )
    if earlier:
        selected.take(earlier.counted())
    everything = nothing()
    for counted in labelling.team.gathered(selected.counted()):
        everything.take(counted)
    return everything


def write_figure(labelling: Labelling, thresholds: Mapping[Confidence, Thresholds], path: Path) -> None:
    """Writes what both confidences select of a few images, as a PNG; the images are chosen by position alone."""
    chosen, team = evenly_spaced(FIGURE_IMAGES, len(labelling.data)), labelling.team
    mine = [torch.from_numpy(np.array(_figured(labelling, thresholds, number))) for number in team.share(chosen)]
    rows = team.in_order(mine)
    if team.first:
        write_stacked(path, [Image.fromarray(row.numpy()) for row in rows])


def _figured(labelling: Labelling, thresholds: Mapping[Confidence, Thresholds], number: int) -> Image.Image:
    """One row of the figure."""
    scored = next(labelling.scored(range(number, number + 1)))
    width, height = picture_size(scored.sizes[0][1], scored.sizes[0][0])
    shown = partial(resized_label, size=(width, height))
    picked: dict[Confidence, NDArray[np.uint8]] = {
        name: pseudo_labels(scored.maps, thresholds[name], labelling.scoring.selection)[0].cpu().numpy()
        for name in CONFIDENCES
    }
    return selection_figure(
        softmax=shown(picked["softmax"]),
        entropy=shown(picked["entropy"]),
        palette=labelling.class_space.palette(),
        label=None if scored.native_labels is None else shown(scored.native_labels[0]),
    )


def forget_places(folder: Path) -> None:
    """Removes what only a labelling needs that is not finished."""
    for pattern in (SCORES, SELECTED):
        for path in folder.glob(pattern.format("*")):
            path.unlink(missing_ok=True)


class _Counts(Protocol):
    """What a pass gathers on its way, and keeps when it is interrupted."""

    def save(self, path: Path, *, covered: Covered) -> None:
        """Writes what was gathered from the images covered."""

    def restore(self, path: Path, *, images: int) -> Covered:
        """Adds what was saved; returns which of so many images it covers."""


Counts = TypeVar("Counts", bound=_Counts)


def _keeping_place(
    labelling: Labelling,
    images: Callable[[range], Iterator[Scored]],
    nothing: Callable[[], Counts],
    take: Callable[[Counts, Scored], None],
    folder: Path,
    file: str,
    *,
    what: str,
    doing: str,
    stop: StopRequest,
) -> tuple[Counts, Counts | None]:
    """Takes images that no process covers yet, as they are handed out; keeps the place now and then.

    Returns:
        What this process counted, and what it takes up for processes of an earlier command that are no more.
    """
    total, team = len(labelling.data), labelling.team
    counts, earlier, covered, by_any = _taken_up(nothing, folder, file, team, total=total)
    blocks = [block for block in labelling.blocks if not by_any[block].all()]
    own, done, saved = folder / file.format(team.rank), int(by_any.sum()), time.monotonic()
    with progress(f"{labelling.title}: {what}", total, done=done, silent=not team.first) as bar:
        try:
            for block in team.handed_out(blocks, bar, size=len):
                for scored in images(block):
                    take(counts, scored)
                    bar.advance(len(scored))
                covered[block] = True
                if stop and bar.done < total:
                    raise Interrupted(f"stopped after {doing} {bar.done} of {total} images; the place is kept")
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    counts.save(own, covered=covered)
                    saved = time.monotonic()
        except Interrupted:
            counts.save(own, covered=covered)
            raise
        counts.save(own, covered=covered)
    team.meet()
    return counts, earlier


def _taken_up(
    nothing: Callable[[], Counts], folder: Path, file: str, team: Team, *, total: int
) -> tuple[Counts, Counts | None, Covered, Covered]:
    """What this and earlier commands counted, each place taken up by one process.

    Returns:
        This process's counts; those it takes up for numbers that no process has any more, or None; the images of the
        former; the images that any process covers.
    """
    counts, earlier = nothing(), None
    own = folder / file.format(team.rank)
    covered = counts.restore(own, images=total)
    times, places = covered.astype(np.int64), [own]
    prefix, _, suffix = file.partition("{}")
    for path in sorted(folder.glob(file.format("*"))):
        number = path.name.removeprefix(prefix).removesuffix(suffix)
        if number.isdecimal() and int(number) >= team.size and int(number) % team.size == team.rank:
            earlier = earlier or nothing()
            times += earlier.restore(path, images=total)
            places.append(path)
    times = team.summed(times)  # also waits until all have looked, before any writes
    if int(times.max()) > 1:  # places of two commands that did not know of each other
        log.warning("%s: images were counted twice; they are counted anew", folder)
        for path in places:
            path.unlink(missing_ok=True)
        return nothing(), None, np.zeros(total, dtype=np.bool_), np.zeros(total, dtype=np.bool_)
    return counts, earlier, covered, times > 0
