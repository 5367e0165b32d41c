"""Opening sets of images with boxes by spec: ``kind:path``, perhaps followed by ``,option=value``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.registry import open_dataset
from acclimate.detection.readers.base import BoxedFiles
from acclimate.detection.readers.cityscapes import CityscapesBoxes, FoggyCityscapesBoxes
from acclimate.detection.readers.coco import CocoBoxes
from acclimate.detection.readers.scenes import SMALLEST, ScenesBoxes
from acclimate.detection.readers.voc import VocBoxes
from acclimate.detection.readers.yolo import YoloBoxes
from acclimate.detection.sample import BoxedDataset
from acclimate.errors import UserError, unknown


@dataclass(frozen=True)
class BoxedKind:
    """A kind of set with boxes.

    Attributes:
        description: one line for ``acclimate list datasets``.
        open: (what follows the colon, split, class space or None for the set's own, tolerant) -> the set.
        splits: what follows the colon -> the splits that are there; None: of a kind that is made when asked for.
    """

    description: str
    open: Callable[[str, str, ClassSpace | None, bool], BoxedDataset]
    splits: Callable[[str], list[str]] | None = None


def _parts(text: str, *, spec: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """``PATH,key=value,...`` as the path and its options; a comma that no known key follows belongs to the path."""
    path, *rest = text.split(",")
    options: dict[str, str] = {}
    for part in rest:
        key, sign, value = part.partition("=")
        if not sign and not options:
            path += "," + part
        elif key not in known or not value:
            raise unknown(f"option of {spec}:", key, known)
        else:
            options[key] = value
    return path, options


def _files(reader: type[BoxedFiles], known: tuple[str, ...] = ()) -> BoxedKind:
    def opener(text: str, split: str, space: ClassSpace | None, tolerant: bool) -> BoxedDataset:
        path, options = _parts(text, spec=f"{reader.kind}:{text}", known=known)
        if options.get("annotations", "auto") not in ("auto", "instances", "polygons"):
            raise UserError(f"{reader.kind}:{text}: annotations is one of auto, instances, polygons")
        dataset = reader(Path(path), split=split, space=space, tolerant=tolerant, **options)
        dataset.spec = f"{reader.kind}:{text}"
        return dataset

    def splits(text: str) -> list[str]:
        return reader.splits(Path(_parts(text, spec=f"{reader.kind}:{text}", known=known)[0]).expanduser())

    return BoxedKind(reader.description, opener, splits)


def _open_scenes(text: str, split: str, space: ClassSpace | None, tolerant: bool) -> BoxedDataset:
    look, *options = text.split(",")
    smallest = SMALLEST
    others = []
    for option in options:
        key, _, value = option.partition("=")
        if key != "smallest":
            others.append(option)
        elif value.isdecimal():
            smallest = int(value)
        else:
            raise UserError(f"scenes:{text}: smallest is {value!r}; give a number of pixels")
    scenes = open_dataset(f"scenes:{','.join([look, *others])}", split=split)
    assert isinstance(scenes, ScenesDataset)
    dataset = ScenesBoxes(scenes, space=space, smallest=smallest)
    dataset.spec = f"scenes:{text}"
    return dataset


BOXED_DATASETS: dict[str, BoxedKind] = {
    "scenes": BoxedKind("built-in street scenes with boxes: scenes:camera (clear), scenes:fog", _open_scenes),
    "cityscapes": _files(CityscapesBoxes, ("annotations", "ground_truth", "fog")),
    "foggy-cityscapes": _files(FoggyCityscapesBoxes, ("beta", "annotations", "ground_truth")),
    "coco": _files(CocoBoxes, ("images",)),
    "voc": _files(VocBoxes),
    "yolo": _files(YoloBoxes),
}
"""Kinds of sets with boxes by name."""


def open_boxes(
    spec: str, *, split: str = "train", class_space: ClassSpace | None = None, tolerant: bool = False
) -> BoxedDataset:
    """Opens a set of images with boxes.

    Args:
        spec: ``kind:path``, see :data:`BOXED_DATASETS`.
        split: ``train``, ``val``, ..., as the kind has them.
        class_space: the classes that count, by name; None: the set's own.
        tolerant: open even a set of files with faults, see :class:`acclimate.detection.readers.base.BoxedFiles`.

    Raises:
        UserError: kind, path, split or options do not exist, or the files have faults.
    """
    kind, text = _kind_of(spec)
    return kind.open(text, split, class_space, tolerant)


def splits_of_boxes(spec: str) -> list[str]:
    """The splits of a set of files that is there; none where nobody can say before it is opened."""
    kind, text = _kind_of(spec)
    return [] if kind.splits is None else kind.splits(text)


def _kind_of(spec: str) -> tuple[BoxedKind, str]:
    kind, colon, path = spec.partition(":")
    if not colon or not path:
        raise UserError(
            f"data is named KIND:PATH, for instance cityscapes:/data/cityscapes or scenes:camera; got {spec!r}; "
            f"kinds with boxes: {', '.join(BOXED_DATASETS)}"
        )
    if kind not in BOXED_DATASETS:
        raise unknown("kind of data with boxes", kind, BOXED_DATASETS)
    return BOXED_DATASETS[kind], path
