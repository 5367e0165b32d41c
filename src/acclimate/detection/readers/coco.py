"""A folder of one's own with boxes in the JSON of COCO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acclimate.data.class_space import ClassSpace
from acclimate.detection.classes import own_classes
from acclimate.detection.readers.base import BoxedFiles, BoxedItem, Found
from acclimate.errors import UserError
from acclimate.io.reading import MOST_JSON, json_of


class CocoBoxes(BoxedFiles):
    """``annotations/SPLIT.json`` and the images in ``images/SPLIT/``, ``images/`` or ``SPLIT/``.

    Boxes are [x, y, width, height]; ``iscrowd`` objects are difficult. Classes are the categories in the order of their
    ids.

    Args:
        images: the folder of the images, where it lies elsewhere.
    """

    kind = "coco"
    description = "images with boxes in COCO's JSON: annotations/SPLIT.json, images/SPLIT/"
    layout = "annotations/SPLIT.json (or instances_SPLIT.json) and images/SPLIT/*.jpg"

    def __init__(
        self,
        path: Path,
        *,
        split: str,
        space: ClassSpace | None,
        images: Path | None = None,
        tolerant: bool = False,
    ) -> None:
        self.images = None if images is None else Path(images).expanduser()
        super().__init__(path, split=split, space=space, tolerant=tolerant)

    @classmethod
    def splits(cls, root: Path) -> list[str]:
        return sorted(path.stem.removeprefix("instances_") for path in (root / "annotations").glob("*.json"))

    def list_items(self) -> list[BoxedItem]:
        folder = self.root / "annotations"
        names = [f"{self.split}.json", f"instances_{self.split}.json"]
        path = next(folder / name for name in names if (folder / name).is_file())
        content = json_of(path, most=MOST_JSON)
        try:
            self._names: dict[int, str] = {}
            for each in content["categories"]:
                if self._names.setdefault(_number(each["id"]), str(each["name"])) != str(each["name"]):
                    raise ValueError(f"two categories have the id {each['id']}")
            images = sorted(
                ((_text(each["file_name"]), _identity(each["id"]), each) for each in content["images"]),
                key=lambda image: image[0],
            )
            for what, values in (
                ("file names", [name for name, _, _ in images]),
                ("ids", [identity for _, identity, _ in images]),
            ):
                if len(set(values)) < len(values):
                    raise ValueError(f"two images have the same {what}")
            self._by_image: dict[int | str, list[dict[str, Any]]] = {identity: [] for _, identity, _ in images}
            strays = 0
            for each in content["annotations"]:
                boxes = self._by_image.get(_identity(each["image_id"]))
                strays += boxes is None
                if boxes is not None:
                    boxes.append(each)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a COCO annotation ({error!r}); expected {self.layout}") from error
        if strays:
            self.notes.append(f"{strays} annotations are of images that {path} does not list, and are left out")
        self._ids: list[int | str] = []
        self._sizes: list[tuple[Any, Any]] = []
        items = []
        for name, identity, each in images:
            if (image := self._image(name)) is not None:
                items.append(BoxedItem(Path(name).with_suffix("").as_posix(), image, path))
                self._ids.append(identity)
                self._sizes.append((each.get("height"), each.get("width")))
        return items

    def _image(self, name: str) -> Path | None:
        homes = (self.root / "images" / self.split, self.root / "images", self.root / self.split)
        for home in homes if self.images is None else (self.images,):
            path, root = home / name, self.images or self.root
            if path.is_file() and path.resolve().is_relative_to(root.resolve()):
                return path
        where = f"images/{self.split}/, images/ or {self.split}/" if self.images is None else self.images
        self.faults.append(f"there is no image {name} in {where}")
        return None

    def declared_size(self, index: int) -> tuple[int, int] | None:
        height, width = self._sizes[index]
        return (height, width) if isinstance(height, int) and isinstance(width, int) and height and width else None

    def own_class_space(self) -> ClassSpace:
        return own_classes(self.root.name, tuple(dict.fromkeys(self._names[key] for key in sorted(self._names))))

    def objects(self, index: int) -> list[Found]:
        boxes = []
        for each in self._by_image.get(self._ids[index], []):
            try:
                x, y, width, height = (float(value) for value in each["bbox"])
                name = self._names[each["category_id"]]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                number = each.get("id") if isinstance(each, dict) else each
                raise UserError(
                    f"{self.items[index].annotation}: annotation {number} of {self.names[index]} has no valid "
                    f"bbox or category_id ({error!r})"
                ) from error
            boxes.append(Found(name, x, y, x + width, y + height, bool(each.get("iscrowd", 0))))
        return boxes


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no id of a category, which are whole numbers")
    return value


def _identity(value: object) -> int | str:
    if not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no id of an image")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no file name")
    return value
