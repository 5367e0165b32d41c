"""Mapillary Vistas (Neuhold et al. 2017), releases 1.x and 2.0."""

from __future__ import annotations

from typing import Any, ClassVar

from acclimate.data.mapillary_classes import V1_NAMES, V2_NAMES
from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES
from acclimate.data.readers.listing import Listing, found, paired
from acclimate.errors import UserError
from acclimate.io.reading import json_of

FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("training", "train"),
    "val": ("validation", "val"),
    "test": ("testing", "test"),
}
"""Split -> its folder as released, then as it is often renamed."""


class Mapillary(FileDataset):
    """``training/images/*.jpg`` with ``training/labels/*.png``: palette pictures whose indices are the 66 ids of v1.x.

    Of a 2.0 release, the labels of v1.2 that come with it (``training/v1.2/labels``). Pictures vary in size and are
    matched with labels by name. ``testing`` has no labels.
    """

    kind = "mapillary"
    description = "Mapillary Vistas, the 66 classes of v1.x: training/ validation/ testing/; splits train, val, test"
    layout = "training/images/*.jpg and training/labels/*.png (or training/v1.2/labels), and likewise validation"
    default_space = "cityscapes-7"
    label_folders: ClassVar[tuple[tuple[str, ...], ...]] = (("v1.2", "labels"), ("labels",))
    configs: ClassVar[tuple[str, ...]] = ("config_v1.2.json", "config.json")
    names_by_id: ClassVar[tuple[str, ...]] = V1_NAMES

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return [split for split in FOLDERS if _folder(root, split) is not None]

    def list_files(self) -> Listing:
        folder = _folder(self.root, self.split)
        assert folder is not None
        places = [folder.joinpath(*parts) for parts in self.label_folders]
        labels = next((place for place in places if place.is_dir()), None)
        listing = paired(
            found(folder / "images", IMAGE_SUFFIXES), found(labels, LABEL_SUFFIXES) if labels is not None else None
        )
        if (problem := self._config_problem()) is not None:
            listing.remarks.append(problem)
        return listing

    def _config_problem(self) -> str | None:
        """What is wrong with the set's own list of classes, if it is there: other ids would be other classes."""
        path = next((self.root / name for name in self.configs if (self.root / name).is_file()), None)
        if path is None:
            return None
        try:
            content: Any = json_of(path)
            names = [str(entry["readable"]) for entry in content["labels"]]
        except (UserError, KeyError, TypeError) as error:
            return f"{path} cannot be read as the list of classes ({error}); replace it with the one of the release"
        if names == list(self.names_by_id):
            return None
        if len(names) != len(self.names_by_id):
            return f"{path} lists {len(names)} classes, but {self.kind} labels have {len(self.names_by_id)}"
        number = next(index for index, name in enumerate(names) if name != self.names_by_id[index])
        return f"{path} calls id {number} {names[number]!r}, but {self.kind} labels have {self.names_by_id[number]!r}"


class Mapillary2(Mapillary):
    """``training/images/*.jpg`` with ``training/v2.0/labels/*.png``: palette pictures of the 124 ids of v2.0."""

    kind = "mapillary-2"
    description = "Mapillary Vistas, the 124 classes of v2.0: training/v2.0/labels; splits train, val, test"
    layout = "training/images/*.jpg and training/v2.0/labels/*.png, and likewise validation"
    label_folders = (("v2.0", "labels"),)
    configs = ("config_v2.0.json",)
    names_by_id = V2_NAMES


def _folder(root: Place, split: str) -> Place | None:
    candidates = [root / name for name in FOLDERS[split]]
    return next((folder for folder in candidates if (folder / "images").is_dir()), None)
