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


class BoxedFiles(BoxedDataset):
    """Images and annotations in folders. Objects of classes that are not in the class space are left out.

    Args:
        path: what follows ``kind:`` in the spec, without options.
        split: which part of the set.
        space: the classes; None: the set's own.

    Raises:
        UserError: the folder or split is missing or empty.
    """

    kind: ClassVar[str]
    description: ClassVar[str]
    layout: ClassVar[str]

    def __init__(self, path: Path, *, split: str, space: ClassSpace | None) -> None:
        self.root = Path(path).expanduser()
        self.spec, self.split = f"{self.kind}:{path}", split
        if not self.root.is_dir():
            raise UserError(f"{self.spec}: there is no folder {self.root}; expected {self.layout}")
        splits = self.splits()
        if not splits:
            raise UserError(f"{self.spec}: {self.root} is not laid out as {self.kind} data; expected {self.layout}")
        if split not in splits:
            raise unknown(f"split of {self.spec}:", split, splits)
        self.items = self.list_items()
        if not self.items:
            raise UserError(f"{self.spec}: split {split!r} holds no images; expected {self.layout}")
        self.names = [item.name for item in self.items]
        self.has_labels = all(item.annotation is not None for item in self.items)
        own = self.own_class_space()
        self.class_space = own if space is None else space
        if self.has_labels and not set(own.classes) & set(self.class_space.classes):
            raise UserError(
                f"{self.spec}: none of its classes ({', '.join(own.classes)}) is one of {self.class_space.name} "
                f"({', '.join(self.class_space.classes)})"
            )
        self._place = {name: place for place, name in enumerate(self.class_space.classes)}
        self._boxes: dict[int, Boxes] = {}

    @abstractmethod
    def splits(self) -> list[str]:
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
        """The pictures under a folder; what is left out is told.

        Raises:
            UserError: one has a name that cannot be used.
        """
        files = found(folder, IMAGE_SUFFIXES)
        if files.faults:
            raise UserError(f"{self.spec}: {files.faults[0]}")
        for note in (*files.notes, *files.remarks):
            log.warning("%s: %s", self.spec, note)
        return files

    def image(self, index: int) -> Image:
        return read_image(self.items[index].image)

    def boxes(self, index: int) -> Boxes:
        if index not in self._boxes:
            if self.items[index].annotation is None:
                raise UserError(f"{self.spec}: {self.items[index].image} has no boxes; expected {self.layout}")
            objects = self.objects(index)
            self._check(index, objects)
            known = [each for each in objects if each.name in self._place and each.x1 > each.x0 and each.y1 > each.y0]
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
