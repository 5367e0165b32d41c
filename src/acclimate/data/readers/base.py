"""What all readers of files share: a reader says where files lie and how ids are stored; the rest is here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, class_space, ids_by_name, mapping
from acclimate.data.content import digests_of
from acclimate.data.readers.archives import ArchivePath, Archives, Place, archives_in, archives_named
from acclimate.data.readers.files import (
    Ids,
    IdTable,
    image_orientation,
    image_size,
    palette_of,
    read_ids,
    read_image,
)
from acclimate.data.readers.listing import Listing
from acclimate.data.sample import Dataset, Image, Label
from acclimate.errors import UserError, nearest, unknown
from acclimate.io.files import hash_of
from acclimate.labels import VOID, resized_label


class FileDataset(Dataset):
    """Images and labels in folders.

    Args:
        path: what follows ``kind:`` in the spec.
        split: which part of the set.
        space: what labels are mapped into; None: the kind's default.
        tolerant: open even a set with faults, so that they can all be listed.

    Raises:
        UserError: the folder or split is missing or empty, an image has no label, or two have the same name.
    """

    kind: ClassVar[str]
    description: ClassVar[str]
    layout: ClassVar[str]
    """What the folder should look like, for messages."""
    default_space: ClassVar[str]
    ids: ClassVar[Mapping[int, str]] = {}
    """Raw id -> class, of kinds that no class space speaks of; a class that a class space lacks is void there."""
    resizes_labels: ClassVar[bool] = False
    """Whether labels may differ a little in size from their image and are then resized to it."""
    unlabelled_splits: ClassVar[tuple[str, ...]] = ()
    """Splits whose labels are released as dummies without any class."""

    def __init__(
        self, path: Path, *, split: str = "train", space: ClassSpace | None = None, tolerant: bool = False
    ) -> None:
        self.root = self.locate(Path(path))
        self.spec, self.split = f"{self.kind}:{path}", split
        if not self.root.exists():
            raise UserError(f"{self.spec}: there is no {self.root}; expected {self.layout}")
        splits = self.splits(self.root)
        if not splits:
            raise UserError(f"{self.spec}: {self.root} is not laid out as {self.kind} data; expected {self.layout}")
        if split not in splits:
            raise unknown(f"split of {self.spec}:", split, splits)
        self.class_space = space if space is not None else self.own_class_space()
        self.listing = self.list_files()
        self.has_labels = self.listing.labelled
        self.names = [item.name for item in self.listing.items]
        if not self.names and not self.listing.faults:
            self.listing.faults.insert(0, f"split {split!r} holds no images; expected {self.layout}")
        if self.listing.faults and not tolerant:
            more = len(self.listing.faults) - 1
            rest = f" (and {more} more such problems: `acclimate check {self.spec}` lists all)" if more else ""
            raise UserError(f"{self.spec}: {self.listing.faults[0]}{rest}")
        self.quirks: dict[str, list[str]] | None = {} if tolerant else None
        self.left_out: Sequence[str] = ()
        """Classes of this kind that are void because the class space, whose classes are matched by name, lacks them."""
        self._table: IdTable | None = None
        self._first_palette: tuple[Place, NDArray[np.uint8]] | bool | None = False
        self._fingerprint: str | None = None

    @classmethod
    def locate(cls, path: Path) -> Place:
        """Where the files are: the folder, or the inside of the archives that the path names or the folder holds.

        Archives may hold the set's folders themselves or one folder around them.
        """
        archives = archives_named(path)
        path = path.expanduser()
        if not archives and path.is_dir() and not cls.splits(path):
            archives = archives_in(path)
        if not archives:
            return path
        root = ArchivePath(Archives(archives))
        folders = root.folders()
        return root / folders[0] if not cls.splits(root) and len(folders) == 1 else root

    @classmethod
    @abstractmethod
    def splits(cls, root: Place) -> list[str]:
        """The splits that are there; none if ``root`` is not laid out as this kind is."""

    @classmethod
    def splits_to_check(cls, root: Place) -> list[str]:
        """The splits that together hold every file once."""
        return cls.splits(root)

    @abstractmethod
    def list_files(self) -> Listing:
        """The files of :attr:`split`."""

    def own_class_space(self) -> ClassSpace:
        """The class space labels are mapped into when none is asked for."""
        return class_space(self.default_space)

    def id_mapping(self) -> Mapping[int, int]:
        """Raw id -> train id of :attr:`class_space`."""
        space = self.class_space
        if self.kind not in space.mappings and space.name in CLASS_SPACES:
            # a class space read back from a checkpoint holds names and colours, but no mappings
            registered = class_space(space.name)
            space = registered if registered.classes == space.classes else space
        if self.kind not in space.mappings and set(self.ids.values()) & set(space.classes):
            return mapping(space.classes, self.ids, self.ids)
        if self.kind not in space.mappings and (named := ids_by_name(self.kind, space.classes)) is not None:
            self.left_out = named.left_out
            return named.mapping
        if self.kind not in space.mappings:
            fitting = [name for name in CLASS_SPACES if name != "scenes" and self.kind in class_space(name).mappings]
            raise UserError(
                f"{self.spec}: no mapping of {self.kind} labels into the class space {space.name} is known; "
                f"class spaces that have one: {', '.join(fitting or [self.default_space])}; classes of your own are "
                f"matched by name{_unmatched(space.classes, self.default_space)}"
            )
        return space.mappings[self.kind]

    def void_by_default(self) -> str | None:
        """The raw id or colour that is void although nobody said so; None where all that is void was said."""
        return None

    def others_are_void(self) -> bool:
        """Whether ids and colours that nobody declared are void instead of an error."""
        return False

    def read_ids(self, path: Place) -> Ids:
        """Raw ids of a label file."""
        return read_ids(
            path,
            notice=lambda quirk: self.noticed(quirk, path),
            palette=lambda palette, ids: self.agree_on_palette(path, palette, ids),
        )

    def agree_on_palette(self, path: Place, palette: NDArray[np.uint8], ids: Ids) -> None:
        """Refuses a label whose palette draws an index it uses in another colour than the set's first palette does.

        Such palettes were made file by file: their indices are no ids.

        Raises:
            UserError: palettes disagree.
        """
        if isinstance(self._first_palette, bool):
            self._first_palette = self._find_palette()
        if self._first_palette is None:
            return
        first, colours = self._first_palette
        shared = min(len(palette), len(colours))
        differing = np.flatnonzero((palette[:shared] != colours[:shared]).any(axis=1))
        used = differing[np.isin(differing, np.unique(ids))] if differing.size else differing
        if used.size:
            index = int(used[0])
            raise UserError(
                f"{path} draws the index {index} as {_hex(palette[index])}, but {first.name} draws it as "
                f"{_hex(colours[index])}: palettes that differ from file to file say that indices are no class ids; "
                "read such masks by their colours (in a dataset.yaml, ids: colours), or save them with one palette"
            )

    def _find_palette(self) -> tuple[Place, NDArray[np.uint8]] | None:
        """The first palette among the first labels."""
        for item in self.listing.items[:20]:
            if item.label is not None:
                try:
                    palette = palette_of(item.label)
                except UserError:
                    continue
                if palette is not None:
                    return item.label, palette
        return None

    def noticed(self, quirk: str, path: Place) -> None:
        """Remembers for ``acclimate check`` what is odd about a file, but handled; nothing in a set that is used."""
        if self.quirks is not None:
            self.quirks.setdefault(quirk, []).append(path.name)

    def refined(self, label: Label, ids: Ids) -> Label:
        """Hook: train ids after what only this kind knows, for instance pixels of the camera car."""
        return label

    def image(self, index: int) -> Image:
        return self._image(index)

    def reduced_image(self, index: int, size: tuple[int, int]) -> Image:
        return self._image(index, reduced_for=size)

    def _image(self, index: int, *, reduced_for: tuple[int, int] | None = None) -> Image:
        item = self.listing.items[index]
        notice = (lambda quirk: self.noticed(quirk, item.image)) if item.label is not None else None
        return read_image(item.image, notice=notice, reduced_for=reduced_for)

    def label(self, index: int) -> Label:
        item = self.listing.items[index]
        if item.label is None:
            raise UserError(f"{self.spec}: {item.image} has no label; expected {self.layout}")
        if self._table is None:
            self._table = IdTable(self.id_mapping(), others=VOID if self.others_are_void() else None)
        ids = self.read_ids(item.label)
        label = self.refined(self._table.train_ids(ids, item.label, spec=self.spec), ids)
        if label.size and label.min() == VOID:
            self.noticed("labels hold no pixel of a class", item.label)
        height, width = image_size(item.image)
        if label.shape != (height, width):
            if not self.resizes_labels or not _nearly((height, width), label.shape):
                turned = image_orientation(item.image)
                why = (
                    f" (upright, as its EXIF orientation {turned} says; its label is not turned with it: save the "
                    "picture upright without the tag)"
                    if turned >= 5
                    else ""
                )
                raise UserError(
                    f"{item.label} is {label.shape[1]}x{label.shape[0]} but its image {item.image.name} is "
                    f"{width}x{height}{why}; a label must have its image's size"
                )
            label = resized_label(label, (width, height))
        return label

    def label_is_resized(self, index: int) -> bool:
        """Whether the label's file has another size than its image."""
        item = self.listing.items[index]
        return item.label is not None and image_size(item.label) != image_size(item.image)

    def fingerprint(self) -> str:
        if self._fingerprint is None:
            mapping = {str(raw): train for raw, train in self.id_mapping().items()} if self._maps_labels() else None
            digests = digests_of(
                [(item.image, item.label) for item in self.listing.items], f"digests of {self.spec} {self.split}"
            )
            files = list(zip(self.names, digests, strict=True))
            void = [True] if self.others_are_void() else []
            mapped = [list(self.class_space.classes), mapping]
            self._fingerprint = hash_of([self.kind, self.split, *mapped, files, *void])
        return self._fingerprint

    def _maps_labels(self) -> bool:
        try:
            self.id_mapping()
        except UserError:
            return False
        return self.has_labels


def _unmatched(classes: Sequence[str], default_space: str) -> str:
    known = class_space(default_space).classes if default_space in CLASS_SPACES else ()
    strange = next((name for name in classes if name not in known), None)
    return (
        ""
        if strange is None or not known
        else f", but {strange!r} is none of {', '.join(known)}{nearest(strange, known)}"
    )


def _nearly(size: tuple[int, int], other: tuple[int, ...]) -> bool:
    """Whether two shapes (H, W) differ so little that one is a cut or scaled version of the other, not turned."""
    (height, width), (other_height, other_width) = size, other
    if (height, width) == (other_width, other_height):
        return False
    return 3 / 4 < (width * other_height) / (height * other_width) < 4 / 3


def _hex(colour: NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{value:02x}" for value in colour.tolist())


def folders_in(root: Place, names: tuple[str, ...]) -> list[str]:
    """Those of ``names`` that are folders in ``root``."""
    return [name for name in names if (root / name).is_dir()]
