"""Opening datasets by spec: ``kind:path``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, ids_by_name
from acclimate.data.class_spaces import class_space as registered_class_space
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.description import described_class_space, read_description
from acclimate.data.readers.folder import Folder
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.sample import Dataset
from acclimate.errors import UserError, unknown
from acclimate.io.plugins import added, names_added, shipped

Opener = Callable[[str, str, ClassSpace | None], Dataset]
"""(path, split, class space or None for the kind's own) -> dataset."""


@dataclass(frozen=True)
class Kind:
    """A kind of dataset.

    Attributes:
        description: one line for ``acclimate list datasets``.
        open: how it is opened.
        own_class_space: path -> the class space it is read in when none is asked for.
        reader: the class that reads it, for kinds that are files.
    """

    description: str
    open: Opener
    own_class_space: Callable[[str], ClassSpace]
    reader: type[FileDataset] | None = None


def _kind(reader: type[FileDataset]) -> Kind:
    def opener(path: str, split: str, space: ClassSpace | None) -> Dataset:
        return reader(Path(path), split=split, space=space)

    return Kind(reader.description, opener, lambda path: registered_class_space(reader.default_space), reader)


def _folder_class_space(path: str) -> ClassSpace:
    description = Folder.locate(Path(path))
    return described_class_space(description, read_description(description))


def _open_scenes(path: str, split: str, space: ClassSpace | None) -> Dataset:
    """``LOOK`` or ``LOOK,images=N,size=WxH,seed=S``; a class space read back from a checkpoint may lack mappings."""
    look, *options = path.split(",")
    values: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in ("images", "size", "seed"):
            raise unknown("option of scenes", key, ("images", "size", "seed"))
        parts = value.split("x") if key == "size" else [value]
        if not all(part.isdecimal() for part in parts) or len(parts) != (2 if key == "size" else 1):
            raise UserError(f"scenes:{path}: {key} is {value!r}; write for instance images=50, size=512x256 or seed=1")
        values[key] = (int(parts[0]), int(parts[1])) if key == "size" else int(value)
    if space is not None and "scenes" not in space.mappings:
        named = ids_by_name("scenes", space.classes)
        space = space if named is None else replace(space, mappings={**space.mappings, "scenes": named.mapping})
    dataset = ScenesDataset(look, split=split, class_space=space, **values)
    dataset.spec = f"scenes:{path}"
    return dataset


DATASETS: dict[str, Kind] = {
    "scenes": Kind(
        "built-in street scenes, made when asked for: scenes:LOOK",
        _open_scenes,
        lambda _: registered_class_space("scenes"),
    ),
    **{name: _kind(reader) for name, reader in shipped("acclimate.data.readers", FileDataset, key="kind").items()},  # type: ignore[type-abstract]
    "folder": Kind(Folder.description, _kind(Folder).open, _folder_class_space, Folder),
}
"""Kinds of datasets by name: the scenes, and every reader in a file of ``readers/``."""


def kind_named(name: str) -> Kind:
    """The kind of data of that name, of the package's own or of an installed one's.

    Raises:
        UserError: there is none.
    """
    if name in DATASETS:
        return DATASETS[name]
    reader = added("acclimate.datasets", name, FileDataset)  # type: ignore[type-abstract]
    if reader is None:
        raise unknown("kind of data", name, [*DATASETS, *names_added("acclimate.datasets")])
    return _kind(reader)


def parse_spec(spec: str) -> tuple[str, str]:
    """``kind:path`` as its two parts.

    Raises:
        UserError: there is no such kind, or a part is missing.
    """
    kind, colon, path = spec.partition(":")
    if not colon or not path:
        own = " (a folder of your own is folder:PATH/dataset.yaml)" if Path(spec).exists() else ""
        raise UserError(
            f"data is named KIND:PATH, for instance gta5:/data/GTA5 or scenes:render; got {spec!r}{own}; "
            f"kinds: {', '.join(DATASETS)}"
        )
    kind_named(kind)
    return kind, path


def open_dataset(
    spec: str, *, split: str = "train", class_space: ClassSpace | str | None = None, tolerant: bool = False
) -> Dataset:
    """Opens a dataset.

    Args:
        spec: ``kind:path``; :func:`dataset_kinds` names the kinds.
        split: ``train``, ``val``, …, as the kind has them.
        class_space: what labels are mapped into, itself or by name; None: the kind's own.
        tolerant: open even a set of files with faults (an image without its label, say), for the tolerant mode.

    Raises:
        UserError: kind, path, split or class space do not exist, or the files have faults.
    """
    kind, path = parse_spec(spec)
    space = training_class_space(class_space, spec) if isinstance(class_space, str) else class_space
    if tolerant and (reader := kind_named(kind).reader) is not None:
        return reader(Path(path), split=split, space=space, tolerant=True)
    return kind_named(kind).open(path, split, space)


def splits_of(spec: str) -> list[str] | None:
    """The splits of a set of files that is there; None where nobody can say before it is opened."""
    kind, path = parse_spec(spec)
    reader = kind_named(kind).reader
    root = reader.locate(Path(path)) if reader is not None else None
    return reader.splits(root) or None if reader is not None and root is not None and root.exists() else None


def dataset_kinds() -> dict[str, str]:
    """The kinds of datasets, each with a line of description."""
    return {name: kind.description for name, kind in DATASETS.items()}


def default_class_space(spec: str) -> ClassSpace:
    """The class space a dataset is read in when none is asked for."""
    kind, path = parse_spec(spec)
    return kind_named(kind).own_class_space(path)


def training_class_space(name: str, spec: str) -> ClassSpace:
    """The class space called ``name``: a registered one, or the own one of the ``folder:`` dataset ``spec``.

    Raises:
        UserError: neither has that name.
    """
    if name not in CLASS_SPACES and parse_spec(spec)[0] == "folder":
        own = default_class_space(spec)
        if own.name == name:
            return own
        raise unknown("class space", name, [*CLASS_SPACES, own.name])
    return registered_class_space(name)
