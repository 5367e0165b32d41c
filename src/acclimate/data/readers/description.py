"""What a ``dataset.yaml`` may say, and what is wrong with one, in words."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import class_space
from acclimate.data.readers.archives import ArchivePath, Place
from acclimate.data.readers.class_colours import colours_of
from acclimate.data.readers.colours import COLOURS, parsed_colour
from acclimate.data.readers.label_maps import SUFFIX as LIST_SUFFIX
from acclimate.data.readers.label_maps import is_no_class, read_label_map
from acclimate.errors import UserError, nearest
from acclimate.io.reading import text_of
from acclimate.io.validation import validated
from acclimate.io.yaml import MAX_CHARACTERS, read_yaml
from acclimate.labels import VOID

Colour = tuple[int, int, int]
VOID_NAME = "void"
DESCRIPTION = "dataset.yaml"
"""The name of a description in a folder or an archive that is named instead of it."""
BLACK = (0, 0, 0)
_BARE_COLOUR = re.compile(r"(?:^|[\s\[{,:])#[0-9a-fA-F]{6}\b", re.ASCII)
_HASH = 'a colour needs quotes, "#804080": without them, # starts a comment'


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key, value in content.items():
                if value is None and key in cls.model_fields:
                    raise ValueError(f"{key} is empty; remove the key or give it a value ({_HASH})")
        return content


class NamedClass(_Described):
    """A class with its colour: red, green and blue, 0-255 each, or ``"#804080"``."""

    name: str
    colour: tuple[int, int, int] | None = None

    @field_validator("colour", mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        return parsed_colour(value) if isinstance(value, str) else value

    @field_validator("colour")
    @classmethod
    def _of_bytes(cls, value: Colour | None) -> Colour | None:
        if value is not None and not all(0 <= part <= 255 for part in value):
            raise ValueError("a colour is red, green and blue from 0 to 255")
        return value


class Listed(_Described):
    """Those images of a folder that a text file names, one a line (VOC's ``ImageSets``)."""

    folder: str
    list: str


class Description(_Described):
    """What a ``dataset.yaml`` says.

    Attributes:
        name: of the data's own class space; None: the YAML's folder.
        images: folder or glob pattern per split, relative to the YAML; a single one is the split ``train``. Or a
            folder and a list of names.
        labels: likewise; splits without an entry have no labels.
        label_name: how a label's path follows from its image's: parts to replace; or a pattern with ``{name}``, the
            path without suffix, or ``{file}``, with it.
        classes: the classes in train-id order, or the name of a class space to use, or the text file that a labelling
            program lists them in; only sets without labels may do without.
        ids: raw id -> class name or ``void``, or a kind of data whose ids are used (``cityscapes``). Without it, ids
            are positions in ``classes`` and 255 is void. For masks drawn in colours, colour (``"#804080"``) -> class
            name or ``void``, or ``colours``: the colours of the classes themselves, black being void; or the text file
            that a labelling program lists them in.
        others: ``void`` for ids and colours that are not listed; by default, they are an error.
        may_be_void: classes that may be void where the data is read in a class space that lacks them.
    """

    name: str | None = None
    images: str | dict[str, str | Listed]
    labels: str | dict[str, str] = Field(default_factory=dict)
    label_name: str | dict[str, str] = Field(default_factory=dict)
    classes: str | list[str | NamedClass] = Field(default_factory=list)
    ids: str | dict[StrictInt | str, str] | None = None
    others: Literal["error", "void"] = "error"
    may_be_void: list[str] = Field(default_factory=list)

    @field_validator("classes", mode="before")
    @classmethod
    def _names_are_texts(cls, value: Any) -> Any:
        entries = (
            [entry.get("name") if isinstance(entry, dict) else entry for entry in value]
            if isinstance(value, list)
            else []
        )
        if any(isinstance(entry, bool) for entry in entries):
            raise ValueError('YAML reads yes, no, on and off as true and false; put such names in quotes: "yes"')
        if any(isinstance(entry, int | float) for entry in entries):
            raise ValueError('a class name that looks like a number needs quotes: "7"')
        if None in entries:
            raise ValueError(f"an entry is empty ({_HASH})")
        return value

    @field_validator("ids", mode="before")
    @classmethod
    def _numbers_come_first(cls, value: Any) -> Any:
        if isinstance(value, dict) and value:
            if any(isinstance(each, bool) for pair in value.items() for each in pair):
                raise ValueError('YAML reads yes, no, on and off as true and false; put such names in quotes: "yes"')
            if all(isinstance(raw, str) and isinstance(name, int) for raw, name in value.items()):
                raw, name = next(iter(value.items()))
                raise ValueError(f"numbers come first: write {{{name}: {raw}, ...}}")
        return value

    @field_validator("label_name")
    @classmethod
    def _names_a_label(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        if isinstance(value, str) and "{name}" not in value and "{file}" not in value:
            raise ValueError('a pattern holds {name} or {file}, for instance "{name}_mask"')
        if isinstance(value, dict) and "" in value:
            raise ValueError('there is nothing to replace in ""; to append something, write "{name}_mask"')
        return value

    @model_validator(mode="after")
    def _refers_to_its_own_classes(self) -> Description:
        names = self.class_names()
        if len(set(names)) < len(names):
            raise ValueError("classes: a name appears twice")
        if not names and (self.labels or self.ids is not None):
            raise ValueError("the key 'classes' is missing; only data without labels can do without it")
        if VOID_NAME in names or (not names and "classes" in self.model_fields_set):
            raise ValueError("classes: name at least one class; void is not a class, map ids to it instead")
        if len(names) > VOID:
            raise ValueError(f"classes: at most {VOID} classes fit in 8-bit labels, got {len(names)}")
        for name in [*names, self.name or "-"]:
            if not name.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
                raise ValueError(f"{name!a} is no name; leave out control characters")
        self._check_colours()
        self._check_ids(names)
        for name in self.may_be_void:
            if name not in names:
                raise ValueError(f"may_be_void: {name!r} is not among the classes{nearest(name, names)}")
        return self

    def _check_colours(self) -> None:
        owners: dict[Colour, str] = {}
        for name, colour in self.own_colours().items() if isinstance(self.classes, list) else ():
            if colour in owners:
                raise ValueError(f"classes: {owners[colour]!r} and {name!r} have the same colour {in_hex(colour)}")
            owners[colour] = name
        if self.ids == COLOURS:
            for name in self.class_names():
                if name not in self.own_colours():
                    raise ValueError(f"ids: colours needs a colour for every class, but {name!r} has none")

    def _check_ids(self, names: list[str]) -> None:
        if not isinstance(self.ids, dict):
            return
        seen: dict[Colour, int | str] = {}
        for raw, name in self.ids.items():
            if name not in (*names, VOID_NAME):
                raise ValueError(f"ids: {raw} is {name!r}, which is not among the classes{nearest(name, names)}")
            if isinstance(raw, str):
                if (colour := parsed_colour(raw)) in seen:
                    raise ValueError(f"ids: {seen[colour]} and {raw} are the same colour; keep one")
                seen[colour] = raw
            elif raw < 0:
                raise ValueError(f"ids: {raw} cannot occur in a label file (0-65535); 8-bit files hold -1 as 255")
            elif raw >= 1 << 16:
                raise ValueError(f"ids: {raw} cannot occur in a label file (0-65535)")
        if len({type(raw) for raw in self.ids}) > 1:
            raise ValueError("ids: numbers and colours cannot be mixed; a mask holds one or the other")

    def class_names(self) -> list[str]:
        """The classes in train-id order."""
        if isinstance(self.classes, str):
            return list(class_space(self.classes).classes)
        return [entry if isinstance(entry, str) else entry.name for entry in self.classes]

    def own_colours(self) -> dict[str, Colour]:
        """Class -> the colour that was declared for it; classes without one are left out."""
        if isinstance(self.classes, str):
            space = class_space(self.classes)
            return dict(zip(space.classes, space.colours, strict=True))
        return {entry.name: entry.colour for entry in self.classes if isinstance(entry, NamedClass) and entry.colour}

    def mask_colours(self) -> dict[Colour, str] | None:
        """Colour -> class or ``void`` for masks drawn in colours; None for masks of ids."""
        if isinstance(self.ids, dict) and any(isinstance(raw, str) for raw in self.ids):
            return {parsed_colour(str(raw)): name for raw, name in self.ids.items()}
        if self.ids != COLOURS:
            return None
        return {BLACK: VOID_NAME, **{colour: name for name, colour in self.own_colours().items()}}

    def void_by_default(self) -> str | None:
        """The id or colour that is void although the YAML does not say so."""
        if self.ids is None:
            return str(VOID)
        return "black (or transparent)" if self.ids == COLOURS and BLACK not in self.own_colours().values() else None

    def image_places(self) -> dict[str, str | Listed]:
        """Split -> where its images are."""
        return {"train": self.images} if isinstance(self.images, str) else dict(self.images)

    def label_places(self) -> dict[str, str]:
        """Split -> where its labels are."""
        return {"train": self.labels} if isinstance(self.labels, str) else dict(self.labels)


def in_hex(colour: Colour) -> str:
    """``(128, 64, 128)`` as ``#804080``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def described_class_space(path: Place, described: Description) -> ClassSpace:
    """The class space of a ``dataset.yaml`` at ``path``: the one it names, or one of its own classes."""
    if isinstance(described.classes, str):
        return class_space(described.classes)
    names, own = described.class_names(), described.own_colours()
    colours = colours_of(names, own)
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
        raise UserError(f"{path} is a folder without a {DESCRIPTION}; write one that describes its data")
    try:
        content = read_yaml(path)
    except UserError as error:
        bare = "cannot be read as YAML" in str(error) and _BARE_COLOUR.search(text_of(path, most=4 * MAX_CHARACTERS))
        raise UserError(f"{error} ({_HASH})" if bare else str(error)) from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must be a mapping with at least the keys images and classes")
    return validated(Description, _with_label_map(path, content), str(path))


def _with_label_map(path: Place, content: dict[str, Any]) -> dict[str, Any]:
    """The content with a list of classes and colours that it names written out, see :mod:`.label_maps`."""
    maps = {
        key: read_label_map(path.parent / value)
        for key in ("classes", "ids")
        if isinstance(value := content.get(key), str) and value.lower().endswith(LIST_SUFFIX)
    }
    listed = dict(content)
    if "classes" in maps:
        named = {name: colour for name, colour in maps["classes"].items() if not is_no_class(name)}
        listed["classes"] = [{"name": name, "colour": colour} for name, colour in named.items()]
    if "ids" in maps:
        listed["ids"] = {colour: VOID_NAME if is_no_class(name) else name for name, colour in maps["ids"].items()}
    return listed
