"""Every problem of a dataset, with file names, before an hour is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.base import FileDataset
from acclimate.data.registry import DATASETS, open_dataset, parse_spec, training_class_space
from acclimate.data.sample import Dataset
from acclimate.errors import UserError


@dataclass
class CheckReport:
    """What :func:`check` found.

    Attributes:
        spec: the dataset.
        images: per split, how many images.
        labels: per split, how many of them have a label; None where a split has no labels at all.
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

    def summary(self) -> str:
        """The report as text."""
        lines = []
        for split, images in self.images.items():
            labels = self.labels[split]
            lines.append(f"{self.spec} {split}: {images} images, {'no' if labels is None else labels} labels")
        if self.sizes:
            lines.append("sizes: " + ", ".join(f"{size} ({count})" for size, count in self.sizes.most_common()))
        lines.extend(f"note: {note}" for note in self.notes)
        lines.extend(f"problem: {problem}" for problem in self.problems)
        lines.append("no problems" if not self.problems else f"{len(self.problems)} problems")
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
    reader = DATASETS[kind].reader
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


def _check_contents(dataset: Dataset, report: CheckReport, progress: Progress | None) -> None:
    """Reads every image and label of one split."""
    missing: set[int] = set()
    if isinstance(dataset, FileDataset):
        missing = {index for index, item in enumerate(dataset.listing.items) if item.label is None}
    unmapped = _mapping_problem(dataset) if dataset.has_labels else None
    if unmapped is not None:
        report.problems.append(unmapped)
    wants_labels = dataset.has_labels and unmapped is None

    def looked_at(index: int) -> tuple[str | None, list[str], bool]:
        problems, size, label_shape = [], None, None
        try:
            image = dataset.image(index)
            size = (image.shape[1], image.shape[0])
        except UserError as error:
            problems.append(str(error))
        if wants_labels and index not in missing:
            try:
                label_shape = dataset.label(index).shape
            except UserError as error:
                if str(error) not in problems:
                    problems.append(str(error))
        resized = label_shape is not None and isinstance(dataset, FileDataset) and dataset.label_is_resized(index)
        return None if size is None else f"{size[0]}x{size[1]}", problems, resized

    count, resized_labels = len(dataset), []
    for index, (size, problems, resized) in enumerate(
        reported(in_parallel(looked_at, count), count, f"check {dataset.spec} {dataset.split}", progress)
    ):
        report.problems.extend(problems)
        report.sizes.update([size] if size is not None else [])
        resized_labels.extend([dataset.names[index]] if resized else [])
    report.images[dataset.split] = count
    report.labels[dataset.split] = count - len(missing) if dataset.has_labels else None
    quirks = {"labels differ in size from their image and are resized to it": resized_labels}
    if isinstance(dataset, FileDataset):
        quirks.update(dataset.quirks or {})
    for quirk, names in quirks.items():
        if names:
            more = ", …" if len(names) > 10 else ""
            report.notes.append(f"{len(names)} {quirk}: {', '.join(sorted(names)[:10])}{more}")


def _mapping_problem(dataset: Dataset) -> str | None:
    """Why no label of the set can be mapped, told once rather than for every file."""
    if isinstance(dataset, FileDataset):
        try:
            dataset.id_mapping()
        except UserError as error:
            return str(error)
    return None
