"""Every problem of a set with boxes, with file names, before an hour is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.check import CheckReport
from acclimate.detection.readers.base import BoxedFiles, Found
from acclimate.detection.registry import open_boxes, splits_of_boxes
from acclimate.detection.sample import BoxedDataset
from acclimate.errors import UserError

BEYOND = 1.0
"""Pixels by which a box may reach over the picture's edge: formats count from 0 or 1, and tools round."""


def check_boxes(spec: str, *, split: str | None = None, progress: Progress | None = None) -> CheckReport:
    """Reads every image and every box of a set and collects all problems instead of stopping at the first.

    Args:
        spec: ``kind:path``.
        split: one split; None: all that are there.
        progress: told how far the reading of a split is; None: a bar on stderr.

    Raises:
        UserError: there is nothing to check: the kind, folder or split does not exist.
    """
    report = CheckReport(spec, counted="boxes")
    # where there are no splits, opening any tells what is missing
    for name in [split] if split is not None else splits_of_boxes(spec) or ["train"]:
        _check_split(open_boxes(spec, split=name, tolerant=True), report, progress)
    return report


@dataclass
class _Looked:
    """What reading one image and its boxes gave."""

    size: str | None = None
    problems: list[str] = field(default_factory=list)
    objects: list[Found] | None = None


def objects_of(dataset: BoxedDataset, index: int) -> list[Found]:
    """The objects of an image, those of files as the annotation tells them.

    Raises:
        UserError: the annotation is missing or at fault.
    """
    if isinstance(dataset, BoxedFiles):
        return dataset.found(index)
    boxes, names = dataset.boxes(index), dataset.class_space.classes
    return [
        Found(names[place], x0, y0, x1, y1, difficult)
        for (x0, y0, x1, y1), place, difficult in zip(
            boxes.corners.tolist(), boxes.classes.tolist(), boxes.difficult.tolist(), strict=True
        )
    ]


def _check_split(dataset: BoxedDataset, report: CheckReport, progress: Progress | None) -> None:
    files = dataset if isinstance(dataset, BoxedFiles) else None
    missing: set[int] = set()
    if files is not None:
        report.problems.extend(files.faults)
        report.notes.extend(files.notes)
        missing = {index for index, item in enumerate(files.items) if item.annotation is None}
    labelled = len(missing) < len(dataset)

    def looked_at(index: int) -> _Looked:
        looked = _Looked()
        try:
            image = dataset.image(index)
            looked.size = f"{image.shape[1]}x{image.shape[0]}"
        except UserError as error:
            looked.problems.append(str(error))
        if index in missing:
            if labelled and files is not None:
                looked.problems.append(f"{files.items[index].image} has no boxes; expected {files.layout}")
            return looked
        try:
            looked.objects = objects_of(dataset, index)
        except UserError as error:
            # a reader may need the picture's size: that it cannot be read is told already
            if looked.size is not None or files is None or str(files.items[index].image) not in str(error):
                looked.problems.append(str(error))
        if looked.objects and looked.size is not None:
            name = dataset.names[index]
            where = name if files is None else f"{files.items[index].annotation}: {name}"
            looked.problems.extend(_misplaced(looked.objects, image.shape[1], image.shape[0], where=where))
        return looked

    count, empty, difficult, classes = len(dataset), 0, 0, Counter[str]()
    for looked in reported(in_parallel(looked_at, count), count, f"check {dataset.spec} {dataset.split}", progress):
        report.problems.extend(looked.problems)
        report.sizes.update([looked.size] if looked.size is not None else [])
        if looked.objects is not None:
            empty += not looked.objects
            difficult += sum(each.difficult for each in looked.objects)
            classes.update(each.name for each in looked.objects)
    report.images[dataset.split] = count
    report.labels[dataset.split] = sum(classes.values()) if labelled else None
    if not labelled:
        report.notes.append(f"split {dataset.split} has no boxes: it can be a target, but not a source or scored on")
        return
    if not classes:
        report.problems.append(f"split {dataset.split}: none of its {count} images holds an object")
        return
    if empty:
        report.notes.append(f"split {dataset.split}: {empty} of {count} images hold no object")
    if difficult:
        report.notes.append(f"split {dataset.split}: {difficult} boxes are difficult: neither trained on nor scored")
    if absent := [name for name in dataset.class_space.classes if not classes[name]]:
        report.notes.append(f"split {dataset.split} holds no {', '.join(absent)}")


def _misplaced(objects: Sequence[Found], width: int, height: int, *, where: str) -> list[str]:
    """What is wrong with where boxes lie, a line for each kind of mistake."""

    def outside(each: Found) -> bool:
        return min(each.x0, each.y0) < -BEYOND or each.x1 > width + BEYOND or each.y1 > height + BEYOND

    kinds: tuple[tuple[str, Callable[[Found], bool]], ...] = (
        ("without width or height, which would be left out", lambda each: each.is_degenerate),
        (f"beyond its {width}x{height} pixels", lambda each: not each.is_degenerate and outside(each)),
    )
    lines = []
    for what, wrong in kinds:
        if found := [each for each in objects if wrong(each)]:
            first = found[0]
            corners = ", ".join(f"{value:g}" for value in (first.x0, first.y0, first.x1, first.y1))
            count = "a box" if len(found) == 1 else f"{len(found)} boxes"
            lines.append(f"{where} has {count} {what}: {first.name} at {corners}")
    return lines
