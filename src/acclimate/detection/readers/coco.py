"""A folder of one's own with boxes in the JSON of COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acclimate.data.class_space import ClassSpace
from acclimate.detection.classes import own_classes
from acclimate.detection.readers.base import BoxedFiles, BoxedItem, Found
from acclimate.errors import UserError


class CocoBoxes(BoxedFiles):
    """``annotations/SPLIT.json`` and the images in ``images/SPLIT/``, ``images/`` or ``SPLIT/``.

    Boxes are [x, y, width, height]; ``iscrowd`` objects are difficult. Classes are the categories in the order of their
    ids.
    """

    kind = "coco"
    description = "images with boxes in COCO's JSON: annotations/SPLIT.json, images/SPLIT/"
    layout = "annotations/SPLIT.json (or instances_SPLIT.json) and images/SPLIT/*.jpg"

    def splits(self) -> list[str]:
        return sorted(path.stem.removeprefix("instances_") for path in (self.root / "annotations").glob("*.json"))

    def list_items(self) -> list[BoxedItem]:
        folder = self.root / "annotations"
        names = [f"{self.split}.json", f"instances_{self.split}.json"]
        path = next(folder / name for name in names if (folder / name).is_file())
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self._names: dict[int, str] = {each["id"]: str(each["name"]) for each in content["categories"]}
            self._by_image: dict[Any, list[dict[str, Any]]] = {}
            for each in content["annotations"]:
                self._by_image.setdefault(each["image_id"], []).append(each)
            images = sorted((str(each["file_name"]), each["id"]) for each in content["images"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a COCO annotation ({error!r}); expected {self.layout}") from error
        self._ids = [identity for _, identity in images]
        return [BoxedItem(Path(name).with_suffix("").as_posix(), self._image(name), path) for name, _ in images]

    def _image(self, name: str) -> Path:
        homes = (self.root / "images" / self.split, self.root / "images", self.root / self.split)
        for home in homes:
            path = home / name
            if path.is_file() and path.resolve().is_relative_to(self.root.resolve()):
                return path
        raise UserError(f"{self.spec}: there is no image {name} in images/{self.split}/, images/ or {self.split}/")

    def own_class_space(self) -> ClassSpace:
        return own_classes(self.root.name, tuple(dict.fromkeys(self._names[key] for key in sorted(self._names))))

    def objects(self, index: int) -> list[Found]:
        boxes = []
        for each in self._by_image.get(self._ids[index], []):
            try:
                x, y, width, height = (float(value) for value in each["bbox"])
                name = self._names[each["category_id"]]
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{self.items[index].annotation}: annotation {each.get('id')} of {self.names[index]} has no valid "
                    f"bbox or category_id ({error!r})"
                ) from error
            if width > 0 and height > 0:
                boxes.append(Found(name, x, y, x + width, y + height, bool(each.get("iscrowd", 0))))
        return boxes
