"""What readers of images with boxes share."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from acclimate.data.class_space import ClassSpace
from acclimate.data.content import digests_of
from acclimate.data.readers.archives import Place
from acclimate.data.readers.files import IMAGE_SUFFIXES, image_orientation, image_size, read_image
from acclimate.data.readers.listing import Files, found
from acclimate.data.sample import Image
from acclimate.detection.sample import BoxedDataset, Boxes
from acclimate.errors import UserError, unknown
from acclimate.io.files import hash_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BoxedItem:
    """An image, its name in the set and the file its boxes are in, if there is one."""

    name: str
    image: Place
    annotation: Path | None


@dataclass(frozen=True)
class Found:
    """An object as an annotation tells it; corners in pixel edges of the native image."""

    name: str
    x0: float
    y0: float
    x1: float
    y1: float
    difficult: bool = False

    @property
    def is_degenerate(self) -> bool:
        """Whether the box holds nothing."""
        return not (self.x1 > self.x0 and self.y1 > self.y0)


class BoxedFiles(BoxedDataset):
    """Images and annotations in folders. Objects of classes that are not in the class space are left out.

    Args:
        path: what follows ``kind:`` in the spec, without options.
        split: which part of the set.
        space: the classes; None: the set's own.
        tolerant: leave out images whose files are missing, and keep what is wrong in :attr:`faults`.

    Attributes:
        faults: what keeps the set from being opened unless ``tolerant``.
        notes: what was left out, though nothing needs mending.

    Raises:
        UserError: the folder or split is missing or empty, or there are faults.
    """

    kind: ClassVar[str]
    description: ClassVar[str]
    layout: ClassVar[str]

    def __init__(self, path: Path, *, split: str, space: ClassSpace | None, tolerant: bool = False) -> None:
        self.root = Path(path).expanduser()
        self.tolerant = tolerant
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.spec, self.split = f"{self.kind}:{path}", split
        if not self.root.is_dir():
            raise UserError(f"{self.spec}: there is no folder {self.root}; expected {self.layout}")
        splits = self.splits(self.root)
        if not splits:
            raise UserError(f"{self.spec}: {self.root} is not laid out as {self.kind} data; expected {self.layout}")
        if split not in splits:
            raise unknown(f"split of {self.spec}:", split, splits)
        self.items = self.list_items()
        if self.faults and not (tolerant and self.items):
            raise UserError(f"{self.spec}: {self.faults[0]}")
        if not tolerant:
            for note in self.notes:
                log.warning("%s: %s", self.spec, note)
        if not self.items:
            raise UserError(f"{self.spec}: split {split!r} holds no images; expected {self.layout}")
        self.names = [item.name for item in self.items]
        self.has_labels = all(item.annotation is not None for item in self.items)
        own = self.own_class_space()
        self.class_space = own if space is None else space
        if not tolerant and self.has_labels and not set(own.classes) & set(self.class_space.classes):
            raise UserError(
                f"{self.spec}: none of its classes ({', '.join(own.classes)}) is one of {self.class_space.name} "
                f"({', '.join(self.class_space.classes)})"
            )
        self._place = {name: place for place, name in enumerate(self.class_space.classes)}
        self._boxes: dict[int, Boxes] = {}

    @classmethod
    @abstractmethod
    def splits(cls, root: Path) -> list[str]:
        """The splits that are there; none if the folder is not laid out as this kind is."""

    @abstractmethod
    def list_items(self) -> list[BoxedItem]:
        """The images of :attr:`split`, in the order of names."""

    @abstractmethod
    def own_class_space(self) -> ClassSpace:
        """The classes the set itself has."""

    @abstractmethod
    def objects(self, index: int) -> list[Found]:
        """All objects of an image, of whatever class."""

    def declared_size(self, index: int) -> tuple[int, int] | None:
        """(height, width) of the picture as its annotation tells it; None where it does not."""
        return None

    def pictures(self, folder: Path) -> Files:
        """The pictures under a folder; what cannot be used and what is left out is told."""
        files = found(folder, IMAGE_SUFFIXES)
        self.faults.extend(files.faults)
        self.notes.extend((*files.notes, *files.remarks))
        return files

    def image(self, index: int) -> Image:
        return read_image(self.items[index].image)

    def found(self, index: int) -> list[Found]:
        """All objects of an image as its annotation tells them, degenerate ones too.

        Raises:
            UserError: there is no annotation, or it is at fault.
        """
        if self.items[index].annotation is None:
            raise UserError(f"{self.spec}: {self.items[index].image} has no boxes; expected {self.layout}")
        objects = self.objects(index)
        self._check(index, objects)
        return objects

    def boxes(self, index: int) -> Boxes:
        if index not in self._boxes:
            objects = self.found(index)
            known = [each for each in objects if each.name in self._place and not each.is_degenerate]
            self._boxes[index] = Boxes.of(
                [[each.x0, each.y0, each.x1, each.y1] for each in known],
                [self._place[each.name] for each in known],
                [each.difficult for each in known],
            )
        return self._boxes[index]

    def _check(self, index: int, objects: list[Found]) -> None:
        item, declared = self.items[index], self.declared_size(index)
        if not all(math.isfinite(value) for each in objects for value in (each.x0, each.y0, each.x1, each.y1)):
            raise UserError(f"{item.annotation}: a box of {item.name} has a corner that is no number; mend it")
        if declared is None or declared == (size := image_size(item.image)):
            return
        turned = image_orientation(item.image)
        why = f" upright, as its EXIF orientation {turned} says" if turned != 1 else ""
        raise UserError(
            f"{item.annotation} says that {item.name} is {declared[1]}x{declared[0]}, but {item.image} is "
            f"{size[1]}x{size[0]}{why}; its boxes would be elsewhere: mend the annotation, or save the picture again"
        )

    def fingerprint(self) -> str:
        places = [(item.image, item.annotation) for item in self.items]
        digests = digests_of(places, f"digests of {self.spec} {self.split}")
        files = list(zip(self.names, digests, strict=True))
        return hash_of(["boxes", self.kind, self.split, list(self.class_space.classes), files])
