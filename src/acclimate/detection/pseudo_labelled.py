"""A set whose boxes are those that a ``label`` stage left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acclimate.data.sample import Image
from acclimate.data.wrappers import MANIFEST
from acclimate.detection.labelling import file_name
from acclimate.detection.sample import BoxedDataset, Boxes
from acclimate.errors import UserError
from acclimate.io.checksums import broken, read_verified_json
from acclimate.io.files import hash_of, hash_of_file, read_json
from acclimate.pseudo.boxes import annotations_of


class PseudoLabelledBoxes(BoxedDataset):
    """A set with the boxes of a folder in place of its own, which are never read; crowds are difficult.

    Args:
        dataset: gives the images, names and class space.
        folder: holds ``annotations/SPLIT.json`` and ``manifest.json``.

    Raises:
        UserError: the folder is unfinished, damaged, or of other images or classes.
    """

    has_labels = True

    def __init__(self, dataset: BoxedDataset, folder: Path) -> None:
        self.dataset, self.folder = dataset, Path(folder)
        self.spec, self.split, self.class_space = dataset.spec, dataset.split, dataset.class_space
        self.names = dataset.names
        manifest = read_verified_json(self.folder / MANIFEST)
        name = annotations_of(self.split)
        if name not in manifest.get("files", {}):
            raise UserError(f"{self.folder / MANIFEST} knows of no boxes of the split {self.split!r}; label it again")
        if broken(self.folder, {name: manifest["files"][name]}):
            raise UserError(f"{self.folder / name} is not what was labelled, it is damaged or changed; label again")
        if manifest["classes"] != list(self.class_space.classes):
            theirs, ours = ", ".join(manifest["classes"]), ", ".join(self.class_space.classes)
            raise UserError(f"{self.folder} holds boxes of {theirs}, but {ours} are trained on; label again")
        self._found = self._read(self.folder / name)

    def _read(self, path: Path) -> list[list[dict[str, Any]]]:
        """The annotations of each of the set's images, in their order."""
        content = read_json(path)
        expected = [file_name(self.dataset, index) for index in range(len(self.dataset))]
        places = {each["id"]: each["file_name"] for each in content["images"]}
        if sorted(places.values()) != sorted(expected):
            raise UserError(f"{path} is of other images than those of {self.spec} ({self.split}); label this set")
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in expected}
        for each in content["annotations"]:
            found[places[each["image_id"]]].append(each)
        return [found[name] for name in expected]

    def image(self, index: int) -> Image:
        return self.dataset.image(index)

    def reduced_image(self, index: int, size: tuple[int, int]) -> Image:
        return self.dataset.reduced_image(index, size)

    def boxes(self, index: int) -> Boxes:
        return _boxes(self._found[index])

    def fingerprint(self) -> str:
        return hash_of(["pseudo-labelled boxes", self.dataset.fingerprint(), hash_of_file(self.folder / MANIFEST)])


def _boxes(annotations: list[dict[str, Any]]) -> Boxes:
    """Those of one image; a box that is nothing once its corners are rounded is left out, as readers do."""
    kept = [each for each in annotations if each["bbox"][2] > 0 and each["bbox"][3] > 0]
    return Boxes.of(
        [[x, y, x + width, y + height] for x, y, width, height in (each["bbox"] for each in kept)],
        [each["category_id"] - 1 for each in kept],
        [bool(each["iscrowd"]) for each in kept],
    )
