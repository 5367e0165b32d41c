"""A folder of one's own with boxes in the XML of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.listing import only
from acclimate.detection.classes import own_classes
from acclimate.detection.readers.base import BoxedFiles, BoxedItem, Found
from acclimate.errors import UserError
from acclimate.io.reading import text_of


class VocBoxes(BoxedFiles):
    """``JPEGImages/``, ``Annotations/*.xml`` and ``ImageSets/Main/SPLIT.txt``.

    VOC counts pixels from 1 and includes both ends: xmin is one more than our left edge, xmax is our right edge.
    Objects flagged ``difficult`` are neither trained on nor scored. Classes are the names in the annotations, in
    alphabetical order.
    """

    kind = "voc"
    description = "images with boxes in Pascal VOC's XML: JPEGImages/ Annotations/ ImageSets/Main/SPLIT.txt"
    layout = "JPEGImages/*.jpg, Annotations/*.xml and ImageSets/Main/SPLIT.txt"

    @classmethod
    def splits(cls, root: Path) -> list[str]:
        # VOC also keeps lists by class there, CLASS_SPLIT.txt
        return sorted(path.stem for path in (root / "ImageSets" / "Main").glob("*.txt") if "_" not in path.stem)

    def list_items(self) -> list[BoxedItem]:
        where = self.root / "ImageSets" / "Main" / f"{self.split}.txt"
        lines = [line.strip() for line in text_of(where).splitlines()]
        images = only(self.pictures(self.root / "JPEGImages"), [line for line in lines if line], where=where)
        self.faults.extend(f"{fault} in JPEGImages/" for fault in images.faults if fault not in self.faults)
        folder = self.root / "Annotations"
        paths = [(name, image, folder / f"{name}.xml") for name, image in images]
        return [BoxedItem(name, image, path if path.is_file() else None) for name, image, path in paths]

    def own_class_space(self) -> ClassSpace:
        names: set[str] = set()
        for item in self.items:
            try:
                names.update(each.name for each in (_objects(item.annotation) if item.annotation else ()))
            except UserError:
                if not self.tolerant:  # else whoever asks for the boxes is told
                    raise
        return own_classes(self.root.name, tuple(sorted(names)))

    def objects(self, index: int) -> list[Found]:
        path = self.items[index].annotation
        assert path is not None
        return _objects(path)

    def declared_size(self, index: int) -> tuple[int, int] | None:
        path = self.items[index].annotation
        assert path is not None
        size = _tree(path).find("size")
        if size is None:
            return None
        try:
            height, width = (int(size.findtext(key) or "0") for key in ("height", "width"))
        except ValueError as error:
            raise UserError(f"{path} is not a Pascal VOC annotation ({error}); mend or remove it") from error
        return (height, width) if height and width else None  # tools that do not know it write 0


def _tree(path: Path) -> ElementTree.Element:
    text = text_of(path)
    try:
        if "<!ENTITY" in text:
            raise ValueError("it defines entities, which no annotation needs")
        return ElementTree.fromstring(text)
    except (ValueError, ElementTree.ParseError) as error:
        raise UserError(f"{path} is not a Pascal VOC annotation ({error}); mend or remove it") from error


def _objects(path: Path) -> list[Found]:
    root = _tree(path)
    try:
        boxes = []
        for each in root.iter("object"):
            x0, y0, x1, y1 = (float(each.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax"))
            name = (each.findtext("name") or "").strip()
            difficult = (each.findtext("difficult") or "0").strip() == "1"
            boxes.append(Found(name, x0 - 1, y0 - 1, x1, y1, difficult))
    except ValueError as error:
        raise UserError(f"{path} is not a Pascal VOC annotation ({error}); mend or remove it") from error
    return boxes
