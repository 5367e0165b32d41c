"""Every problem of a dataset, with file names, before an hour is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.files import UnknownValues
from acclimate.data.readers.folder import Folder
from acclimate.data.registry import kind_named, open_dataset, parse_spec, training_class_space
from acclimate.data.sample import Dataset
from acclimate.data.seen_classes import Counts, counted, nothing_labelled, remarks
from acclimate.errors import UserError

MOST_UNKNOWN, MOST_TOLD = 10_000, 20
"""Of undeclared ids or colours: how many are counted, and how many are told."""


@dataclass
class CheckReport:
    """What :func:`check` found.

    Attributes:
        spec: the dataset.
        images: per split, how many images.
        labels: per split, how many of them have a label (of sets with boxes, how many boxes there are); None where a
            split has no labels at all.
        sizes: ``WIDTHxHEIGHT`` -> how many images.
        problems: one line each, naming the file; none means the set is sound.
        notes: what is worth knowing but needs no mending.
    """

    spec: str
    images: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int | None] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pasted: list[str] = field(default_factory=list)
    """Lines to paste into a ``dataset.yaml``."""
    counted: str = "labels"
    """What ``labels`` counts."""

    def summary(self) -> str:
        """The report as text."""
        lines = []
        for split, images in self.images.items():
            labels = self.labels[split]
            lines.append(f"{self.spec} {split}: {images} images, {'no' if labels is None else labels} {self.counted}")
        if self.sizes:
            lines.append("sizes: " + ", ".join(f"{size} ({count})" for size, count in self.sizes.most_common()))
        lines.extend(f"note: {note}" for note in self.notes)
        lines.extend(f"problem: {problem}" for problem in self.problems)
        lines.extend(self.pasted)
        many = len(self.problems)
        lines.append("no problems" if not many else "1 problem" if many == 1 else f"{many} problems")
        return "\n".join(lines)


def check(
    spec: str,
    *,
    split: str | None = None,
    class_space: ClassSpace | str | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Reads every image and label of a dataset and collects all problems instead of stopping at the first.

    Args:
        spec: ``kind:path``.
        split: one split; None: all that are there.
        class_space: what labels are mapped into; None: the kind's own.
        progress: told how far the reading of a split is; None: a bar on stderr.

    Raises:
        UserError: there is nothing to check: the kind, folder, split or class space does not exist.
    """
    kind, path = parse_spec(spec)
    space = training_class_space(class_space, spec) if isinstance(class_space, str) else class_space
    report = CheckReport(spec)
    reader = kind_named(kind).reader
    if reader is None:
        _check_contents(open_dataset(spec, split=split or "train", class_space=space), report, progress)
        return report
    root = reader.locate(Path(path))
    # where there are no splits, opening any tells what is missing
    splits = [split] if split is not None else (reader.splits_to_check(root) if root.exists() else []) or ["train"]
    for name in splits:
        dataset = reader(Path(path), split=name, space=space, tolerant=True)
        report.problems.extend(dataset.listing.faults)
        report.problems.extend(dataset.listing.remarks)
        report.notes.extend(dataset.listing.notes)
        if not dataset.has_labels:
            report.notes.append(f"split {name} has no labels: it can be a target, but not a source or scored on")
        _check_contents(dataset, report, progress)
    return report


@dataclass
class _Looked:
    """What reading one image and its label gave."""

    size: str | None = None
    problems: list[str] = field(default_factory=list)
    unknown: UnknownValues | None = None
    pixels: Counts | None = None
    resized: bool = False


def _check_contents(dataset: Dataset, report: CheckReport, progress: Progress | None) -> None:
    """Reads every image and label of one split; keeps counts, never pixels."""
    missing: set[int] = set()
    if isinstance(dataset, FileDataset):
        missing = {index for index, item in enumerate(dataset.listing.items) if item.label is None}
    unmapped = _mapping_problem(dataset) if dataset.has_labels else None
    if unmapped is not None:
        report.problems.append(unmapped)
    wants_labels = dataset.has_labels and unmapped is None

    def looked_at(index: int) -> _Looked:
        looked = _Looked()
        try:
            image = dataset.image(index)
            looked.size = f"{image.shape[1]}x{image.shape[0]}"
        except UserError as error:
            looked.problems.append(str(error))
        if wants_labels and index not in missing:
            try:
                looked.pixels = counted(dataset, index)
                looked.resized = (
                    isinstance(dataset, FileDataset) and dataset.resizes_labels and dataset.label_is_resized(index)
                )
            except UnknownValues as error:
                looked.unknown = error
            except UserError as error:
                if str(error) not in looked.problems:
                    looked.problems.append(str(error))
        return looked

    count, resized_labels, readable = len(dataset), [], 0
    pixels, unknown = np.zeros(256, dtype=np.int64), _UnknownInAll()
    for index, looked in enumerate(
        reported(in_parallel(looked_at, count), count, f"check {dataset.spec} {dataset.split}", progress)
    ):
        report.problems.extend(looked.problems)
        report.sizes.update([looked.size] if looked.size is not None else [])
        resized_labels.extend([dataset.names[index]] if looked.resized else [])
        if looked.pixels is not None:
            pixels, readable = pixels + looked.pixels, readable + 1
        if looked.unknown is not None:
            unknown.add(looked.unknown)
    report.problems.extend(unknown.problems(int(pixels.sum())))
    if isinstance(dataset, Folder) and unknown.first:
        if len(unknown.first) <= MOST_TOLD:
            report.pasted = dataset.ids_to_paste(unknown.remarks(int(pixels.sum())))
        else:
            report.pasted = [f"in {dataset.root}, to make all of them void:", "others: void"]
    report.images[dataset.split] = count
    report.labels[dataset.split] = count - len(missing) if dataset.has_labels else None
    quirks = {"labels differ in size from their image and are resized to it": resized_labels}
    if isinstance(dataset, FileDataset):
        quirks.update(dataset.quirks or {})
    for quirk, names in quirks.items():
        if names:
            more = ", …" if len(names) > 10 else ""
            report.notes.append(f"{len(names)} {quirk}: {', '.join(sorted(names)[:10])}{more}")
    dummies = isinstance(dataset, FileDataset) and dataset.split in dataset.unlabelled_splits
    if readable and not dummies:
        if not pixels[:255].any():
            report.problems.append(str(nothing_labelled(dataset)))
        else:
            report.notes.extend(remarks(dataset, pixels, looked=len(dataset)))


class _UnknownInAll:
    """Ids or colours that nobody declared, over a whole split: each told once."""

    def __init__(self) -> None:
        self.first: dict[str, UnknownValues] = {}
        self.pixels: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self.all_pixels = 0
        self.untold = 0

    def add(self, error: UnknownValues) -> None:
        """One label's."""
        self.all_pixels += error.pixels
        for value, count in error.values.items():
            if value not in self.first and len(self.first) >= MOST_UNKNOWN:
                self.untold += 1
                continue
            self.first.setdefault(value, error)
            self.pixels[value] += count
            self.files[value] += 1

    def problems(self, other_pixels: int) -> list[str]:
        """A line for each of the most frequent ones."""
        lines, everything = [], max(1, other_pixels + self.all_pixels)
        told = [value for value, _ in self.pixels.most_common(MOST_TOLD)]
        for value in told:
            error, files = self.first[value], self.files[value]
            named = "the class id" if error.what == "id" else "the colour"
            others = f", as do {files - 1} other label{'s' * (files > 2)}" if files > 1 else ""
            share = 100 * self.pixels[value] / everything
            lines.append(f"{error.path} holds {named} {value}{others} ({share:.2g} % of all pixels), {error.why}")
        rest = len(self.first) - len(told)
        if rest:
            more = "more than " if self.untold else ""
            lines.append(f"{more}{rest} other {self.first[told[0]].what}s are not defined either, all of them rarer")
        return lines

    def remarks(self, other_pixels: int) -> dict[str, str]:
        """Of the most frequent ones: the value, and what is known of it, for a remark beside it."""
        everything = max(1, other_pixels + self.all_pixels)
        return {
            value: f"{100 * count / everything:.2g} % of all pixels, {self.files[value]} "
            f"label{'s' * (self.files[value] > 1)}, such as {self.first[value].path.name}"
            for value, count in self.pixels.most_common(MOST_TOLD)
        }


def _mapping_problem(dataset: Dataset) -> str | None:
    """Why no label of the set can be mapped, told once rather than for every file."""
    if isinstance(dataset, FileDataset):
        try:
            dataset.id_mapping()
        except UserError as error:
            return str(error)
    return None
