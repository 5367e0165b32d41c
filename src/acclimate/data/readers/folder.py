"""Your own data, described by a few lines of YAML beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, KNOWN_IDS, class_space, ids_by_name
from acclimate.data.readers.archives import ARCHIVE_SUFFIX, ArchivePath, Archives, Place, archives_named
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.colours import COLOURS, ColourTable
from acclimate.data.readers.description import (
    DESCRIPTION,
    VOID_NAME,
    Description,
    Listed,
    described_class_space,
    in_hex,
    read_description,
)
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids
from acclimate.data.readers.listing import ORPHAN, Files, Listing, found, only, paired
from acclimate.errors import UserError, nearest, unknown
from acclimate.io.reading import text_of
from acclimate.labels import VOID


class Folder(FileDataset):
    """Images and labels wherever a ``dataset.yaml`` says they are, see :class:`Description`."""

    kind = "folder"
    description = "your own data, described by a YAML: folder:PATH/dataset.yaml, or the folder it is in"
    layout = "what its YAML describes"

    @classmethod
    def locate(cls, path: Path) -> Place:
        """The YAML; of a folder or an archive, the ``dataset.yaml`` at its top, or in an archive's only folder."""
        archives = archives_named(path)
        if not archives:
            path = path.expanduser()
            return path / DESCRIPTION if (path / DESCRIPTION).exists() else path
        root = ArchivePath(Archives(archives))
        folders = root.folders()
        nested = not (root / DESCRIPTION).is_file() and len(folders) == 1
        return (root / folders[0] if nested else root) / DESCRIPTION

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return list(read_description(root).image_places())

    @cached_property
    def described(self) -> Description:
        """What the YAML says."""
        return read_description(self.root)

    def list_files(self) -> Listing:
        described = self.described
        images, labels = described.image_places(), described.label_places()
        if strange := set(labels) - set(images):
            raise UserError(f"{self.root}: labels has the split {min(strange)!r}, which images does not have")
        place = images[self.split]
        listed = place.list if isinstance(place, Listed) else None
        pictures = self._found(place.folder if isinstance(place, Listed) else place, IMAGE_SUFFIXES, "images")
        if listed is not None:
            where = self.root.parent / listed
            lines = [line.strip() for line in text_of(where).splitlines()]
            pictures = only(pictures, [line for line in lines if line and not line.startswith("#")], where=where)
        listing = paired(
            pictures,
            self._found(labels[self.split], LABEL_SUFFIXES, "labels") if self.split in labels else None,
            label_name=described.label_name,
        )
        if listed is not None:  # labels of images that are not in the list are no orphans
            listing.remarks = [remark for remark in listing.remarks if not remark.endswith(ORPHAN)]
        return listing

    def _found(self, place: str, suffixes: tuple[str, ...], what: str) -> Files:
        """The files of a folder or glob pattern; their names start below the last folder without wildcards.

        A part that ends in ``.zip`` is an archive beside the YAML. A folder of exactly a part's name counts before the
        pattern that the name might be.
        """
        parts = Path(place).parts
        folder: Place = self.root.parent
        wild = len(parts)
        for number, part in enumerate(parts):
            inner = folder / part
            if any(sign in part for sign in "*?[") and not inner.is_dir():
                wild = number
                break
            zipped = isinstance(inner, Path) and inner.suffix.lower() == ARCHIVE_SUFFIX and inner.is_file()
            folder = ArchivePath(Archives([Path(str(inner))])) if zipped else inner
        if not folder.is_dir():
            raise UserError(f"{self.root}: {what} of split {self.split!r} should be in {folder}, which is not there")
        return found(folder, suffixes, pattern="/".join(parts[wild:]) or None)

    def own_class_space(self) -> ClassSpace:
        return described_class_space(self.root, self.described)

    def void_by_default(self) -> str | None:
        return self.described.void_by_default()

    def others_are_void(self) -> bool:
        return self.described.others == VOID_NAME

    @cached_property
    def _colours(self) -> ColourTable | None:
        colours = self.described.mask_colours()
        return ColourTable(list(colours), others=self.others_are_void()) if colours is not None else None

    def read_ids(self, path: Place) -> Ids:
        if self._colours is None:
            return super().read_ids(path)
        return self._colours.ids(path, spec=self.spec, notice=lambda quirk: self.noticed(quirk, path))

    def agree_on_palette(self, path: Place, palette: NDArray[np.uint8], ids: Ids) -> None:
        """Refuses as well what draws an index in the declared colour of another class than the index stands for."""
        super().agree_on_palette(path, palette, ids)
        owners = {colour: name for name, colour in self.described.own_colours().items()}
        drawn = {index: tuple(colour) for index, colour in enumerate(palette.tolist())}
        used = [index for index in np.unique(ids).tolist() if owners and index in self._names_of_ids]
        for index in used:
            owner, name = owners.get(drawn.get(index, ())), self._names_of_ids[index]
            if owner is not None and name not in (owner, VOID_NAME):
                raise UserError(
                    f"{path} draws the index {index} in {in_hex(self.described.own_colours()[owner])}, the colour of "
                    f"{owner!r}, but the id {index} is {name!r}: read such masks by their colours (ids: colours), or "
                    "mend ids or colours"
                )

    @cached_property
    def _names_of_ids(self) -> Mapping[int, str]:
        """Raw id -> the class it stands for, or void."""
        described = self.described
        if isinstance(described.ids, dict):
            return {raw: name for raw, name in described.ids.items() if isinstance(raw, int)}
        if described.ids is None:
            return {**dict(enumerate(described.class_names())), VOID: VOID_NAME}
        named = ids_by_name(described.ids, described.class_names())
        if named is None:
            if described.ids not in KNOWN_IDS:
                raise unknown(f"kind of ids in {self.root}:", described.ids, [COLOURS, *KNOWN_IDS])
            raise UserError(
                f"{self.root}: {described.ids} data do not have all of its classes; write the ids out: {{7: road, ...}}"
            )
        classes = described.class_names()
        return {raw: VOID_NAME if train == VOID else classes[train] for raw, train in named.mapping.items()}

    def ids_to_paste(self, unknown: Mapping[str, str]) -> list[str]:
        """Lines for the YAML that declare these ids or colours as void, each with its remark.

        Where the YAML lists no ids itself, those that count without a list are repeated, because a list replaces them.
        """
        colours = self.described.mask_colours()
        known: dict[str, str] = {}
        if not isinstance(self.described.ids, dict):
            known = (
                {str(raw): name for raw, name in self._names_of_ids.items()}
                if colours is None
                else {in_hex(colour): name for colour, name in colours.items()}
            )
        quoted = {value: f'"{value}"' if value.startswith("#") else value for value in (*known, *unknown)}
        head = "replace ids by these" if known else "paste these under ids"
        return [
            f"in {self.root}, {head}, with a class in the place of void where there is one:",
            "ids:",
            *(f"  {quoted[value]}: {name}" for value, name in known.items()),
            *(f"  {quoted[value]}: void  # {remark}" for value, remark in unknown.items()),
        ]

    def id_mapping(self) -> Mapping[int, int]:
        described, space = self.described, self.class_space
        colours = described.mask_colours()
        if colours is None and isinstance(described.ids, str):
            registered = class_space(space.name) if space.name in CLASS_SPACES and not space.mappings else space
            if described.ids in registered.mappings and registered.classes == space.classes:
                return registered.mappings[described.ids]
        names = described.class_names()
        missing = [name for name in names if name not in space.classes and name not in described.may_be_void]
        if missing:
            raise UserError(
                f"{self.root}: its class {missing[0]!r} is not in the class space {space.name}"
                f"{nearest(missing[0], space.classes)}; rename it, or list it under may_be_void to leave its pixels out"
            )
        train_ids = {name: space.classes.index(name) if name in space.classes else VOID for name in names}
        if colours is not None:
            table = {number: train_ids.get(name, VOID) for number, name in enumerate(colours.values())}
            return {**table, len(colours): VOID}
        return {raw: train_ids.get(name, VOID) for raw, name in self._names_of_ids.items()}
