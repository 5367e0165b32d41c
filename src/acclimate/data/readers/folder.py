"""Your own data, described by a few lines of YAML beside it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, class_space
from acclimate.data.readers.archives import ARCHIVE_SUFFIX, ArchivePath, Archives, Place, archives_named
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.colours import COLOURS, ColourTable, parsed_colour
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids, Listing, found, paired, read_ids
from acclimate.errors import UserError, nearest, unknown
from acclimate.io.yaml import load_yaml
from acclimate.labels import VOID

Colour = tuple[int, int, int]
VOID_NAME = "void"
DESCRIPTION = "dataset.yaml"
"""The name a description has inside an archive."""


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedClass(_Described):
    """A class with its colour (0-255 each)."""

    name: str
    colour: tuple[int, int, int] | None = None


class Description(_Described):
    """What a ``dataset.yaml`` says.

    Attributes:
        name: of the data's own class space; None: the YAML's folder.
        images: folder or glob pattern per split, relative to the YAML; a single one is the split ``train``.
        labels: likewise; splits without an entry have no labels.
        label_name: parts of an image's relative path to replace to get its label's.
        classes: the classes in train-id order, or the name of a class space to use.
        ids: raw id -> class name or ``void``, or a kind of data whose ids are used (``cityscapes``). Without it, ids
            are positions in ``classes`` and 255 is void. For masks drawn in colours, colour (``"#804080"``) -> class
            name or ``void``, or ``colours``: the colours of the classes themselves, black being void.
        may_be_void: classes that may be void where the data is read in a class space that lacks them.
    """

    name: str | None = None
    images: str | dict[str, str]
    labels: str | dict[str, str] = Field(default_factory=dict)
    label_name: dict[str, str] = Field(default_factory=dict)
    classes: str | list[str | NamedClass]
    ids: str | dict[StrictInt | str, str] | None = None
    may_be_void: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _refers_to_its_own_classes(self) -> Description:
        names = self.class_names()
        if len(set(names)) < len(names):
            raise ValueError("classes: a name appears twice")
        if VOID_NAME in names or not names:
            raise ValueError("classes: name at least one class; void is not a class, map ids to it instead")
        if len(names) > VOID:
            raise ValueError(f"classes: at most {VOID} classes fit in 8-bit labels, got {len(names)}")
        if isinstance(self.ids, dict):
            for raw, name in self.ids.items():
                if name not in (*names, VOID_NAME):
                    raise ValueError(f"ids: {raw} is {name!r}, which is not among the classes{nearest(name, names)}")
                if isinstance(raw, str):
                    parsed_colour(raw)
                elif not 0 <= raw < 1 << 16:
                    raise ValueError(f"ids: {raw} cannot occur in a label file (0-65535)")
            if len({type(raw) for raw in self.ids}) > 1:
                raise ValueError("ids: numbers and colours cannot be mixed; a mask holds one or the other")
        if self.ids == COLOURS and isinstance(self.classes, list):
            for entry in self.classes:
                if isinstance(entry, str) or entry.colour is None:
                    name = entry if isinstance(entry, str) else entry.name
                    raise ValueError(f"ids: colours needs a colour for every class, but {name!r} has none")
        for name in self.may_be_void:
            if name not in names:
                raise ValueError(f"may_be_void: {name!r} is not among the classes{nearest(name, names)}")
        return self

    def class_names(self) -> list[str]:
        """The classes in train-id order."""
        if isinstance(self.classes, str):
            return list(class_space(self.classes).classes)
        return [entry if isinstance(entry, str) else entry.name for entry in self.classes]

    def mask_colours(self) -> dict[Colour, str] | None:
        """Colour -> class or ``void`` for masks drawn in colours; None for masks of ids."""
        if isinstance(self.ids, dict) and any(isinstance(raw, str) for raw in self.ids):
            return {parsed_colour(str(raw)): name for raw, name in self.ids.items()}
        if self.ids != COLOURS:
            return None
        if isinstance(self.classes, str):
            space = class_space(self.classes)
            own = dict(zip(space.colours, space.classes, strict=True))
        else:
            own = {entry.colour: entry.name for entry in self.classes if isinstance(entry, NamedClass) and entry.colour}
        return {(0, 0, 0): VOID_NAME, **own}

    def places(self, what: str) -> dict[str, str]:
        """Split -> folder or pattern of ``images`` or ``labels``."""
        entry: str | dict[str, str] = getattr(self, what)
        return {"train": entry} if isinstance(entry, str) else dict(entry)


class Folder(FileDataset):
    """Images and labels wherever a ``dataset.yaml`` says they are, see :class:`Description`."""

    kind = "folder"
    description = "your own data, described by a YAML: folder:PATH/dataset.yaml"
    layout = "what its YAML describes"

    @classmethod
    def locate(cls, path: Path) -> Place:
        """The YAML; of an archive, the ``dataset.yaml`` at its top or in its only folder."""
        archives = archives_named(path)
        if not archives:
            return path.expanduser()
        root = ArchivePath(Archives(archives))
        folders = root.folders()
        nested = not (root / DESCRIPTION).is_file() and len(folders) == 1
        return (root / folders[0] if nested else root) / DESCRIPTION

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return list(read_description(root).places("images"))

    @cached_property
    def described(self) -> Description:
        """What the YAML says."""
        return read_description(self.root)

    def list_files(self) -> Listing:
        described = self.described
        images, labels = described.places("images"), described.places("labels")
        if strange := set(labels) - set(images):
            raise UserError(f"{self.root}: labels has the split {min(strange)!r}, which images does not have")
        return paired(
            self._found(images[self.split], IMAGE_SUFFIXES, "images"),
            self._found(labels[self.split], LABEL_SUFFIXES, "labels") if self.split in labels else None,
            label_name=described.label_name,
        )

    def _found(self, place: str, suffixes: tuple[str, ...], what: str) -> list[tuple[str, Place]]:
        """The files of a folder or glob pattern; their names start below the last folder without wildcards.

        A part that ends in ``.zip`` is an archive beside the YAML.
        """
        parts = Path(place).parts
        wild = next((number for number, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
        folder: Place = self.root.parent
        for part in parts[:wild]:
            inner = folder / part
            zipped = isinstance(inner, Path) and inner.suffix.lower() == ARCHIVE_SUFFIX and inner.is_file()
            folder = ArchivePath(Archives([Path(str(inner))])) if zipped else inner
        if not folder.is_dir():
            raise UserError(f"{self.root}: {what} of split {self.split!r} should be in {folder}, which is not there")
        return found(folder, suffixes, pattern="/".join(parts[wild:]) or None)

    def own_class_space(self) -> ClassSpace:
        return described_class_space(self.root, self.described)

    @cached_property
    def _colours(self) -> ColourTable | None:
        colours = self.described.mask_colours()
        return ColourTable(list(colours)) if colours is not None else None

    def read_ids(self, path: Place) -> Ids:
        return read_ids(path) if self._colours is None else self._colours.ids(path, spec=self.spec)

    def id_mapping(self) -> Mapping[int, int]:
        described, space = self.described, self.class_space
        colours = described.mask_colours()
        if colours is None and isinstance(described.ids, str):
            if described.ids not in space.mappings:
                if not space.mappings:
                    space = class_space(space.name) if space.name in CLASS_SPACES else space
                if described.ids not in space.mappings:
                    raise unknown(
                        f"kind of ids for class space {space.name} in {self.root}:", described.ids, space.mappings
                    )
            return space.mappings[described.ids]
        names = described.class_names()
        missing = [name for name in names if name not in space.classes and name not in described.may_be_void]
        if missing:
            raise UserError(
                f"{self.root}: its class {missing[0]!r} is not in the class space {space.name}"
                f"{nearest(missing[0], space.classes)}; rename it, or list it under may_be_void to leave its pixels out"
            )
        train_ids = {name: space.classes.index(name) if name in space.classes else VOID for name in names}
        if colours is not None:
            return {number: train_ids.get(name, VOID) for number, name in enumerate(colours.values())}
        ids: Mapping[Any, str] = {**dict(enumerate(names)), VOID: VOID_NAME}
        if isinstance(described.ids, dict):
            ids = described.ids
        return {raw: train_ids.get(name, VOID) for raw, name in ids.items()}


def described_class_space(path: Place, described: Description) -> ClassSpace:
    """The class space of a ``dataset.yaml`` at ``path``: the one it names, or one of its own classes."""
    if isinstance(described.classes, str):
        return class_space(described.classes)
    names, colours = described.class_names(), distinct_colours(len(described.classes))
    for index, entry in enumerate(described.classes):
        if isinstance(entry, NamedClass) and entry.colour is not None:
            colours[index] = entry.colour
    if isinstance(path, ArchivePath):
        place = path.parent.name or path.archives.paths[0].stem
    else:
        place = path.resolve().parent.name
    return ClassSpace(described.name or place, tuple(names), tuple(colours))


def read_description(path: Place) -> Description:
    """A ``dataset.yaml``.

    Raises:
        UserError: it is missing, not YAML, or has problems; all of them are listed in one message.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the YAML that describes the data, folder:{path / 'dataset.yaml'}")
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must be a mapping with at least the keys images and classes")
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_problem(each) for each in error.errors()))
        raise UserError(f"{path}: {problems}") from None


def _problem(error: Any) -> str:
    # pydantic names the member of a union that was tried; a reader knows only the keys
    places = [str(part) for part in error["loc"]]
    keys = places[:1] + [part for part in places[1:] if part not in ("str", "NamedClass") and "[" not in part]
    where = ".".join(keys)
    if error["type"] == "extra_forbidden":
        known = NamedClass.model_fields if keys[0] == "classes" else Description.model_fields
        return f"unknown key {where!r}{nearest(keys[-1], known)} (known: {', '.join(known)})"
    if error["type"] == "missing":
        return f"the key {where!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def distinct_colours(count: int) -> list[Colour]:
    """Colours that are easy to tell apart, the same ones every time: hues a golden section apart."""
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hsv_to_rgb(
            index * 0.618034 % 1, 0.65 + 0.35 * (index % 2), 0.9 - 0.25 * (index % 3)
        )
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours
