"""A folder of one's own with boxes in the XML of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.files import IMAGE_SUFFIXES
from acclimate.data.readers.listing import found
from acclimate.detection.classes import own_classes
from acclimate.detection.readers.base import BoxedFiles, BoxedItem, Found
from acclimate.errors import UserError


class VocBoxes(BoxedFiles):
    """``JPEGImages/``, ``Annotations/*.xml`` and ``ImageSets/Main/SPLIT.txt``.

    VOC counts pixels from 1 and includes both ends: xmin is one more than our left edge, xmax is our right edge.
    Objects flagged ``difficult`` are neither trained on nor scored. Classes are the names in the annotations, in
    alphabetical order.
    """

    kind = "voc"
    description = "images with boxes in Pascal VOC's XML: JPEGImages/ Annotations/ ImageSets/Main/SPLIT.txt"
    layout = "JPEGImages/*.jpg, Annotations/*.xml and ImageSets/Main/SPLIT.txt"

    def splits(self) -> list[str]:
        # VOC also keeps lists by class there, CLASS_SPLIT.txt
        return sorted(path.stem for path in (self.root / "ImageSets" / "Main").glob("*.txt") if "_" not in path.stem)

    def list_items(self) -> list[BoxedItem]:
        images = dict(found(self.root / "JPEGImages", IMAGE_SUFFIXES))
        lines = (self.root / "ImageSets" / "Main" / f"{self.split}.txt").read_text(encoding="utf-8").splitlines()
        names = [line.split()[0] for line in lines if line.strip()]
        missing = [name for name in names if name not in images]
        if missing:
            raise UserError(
                f"{self.spec}: ImageSets/Main/{self.split}.txt names {missing[0]}, which is not in JPEGImages/ "
                f"({len(missing)} such names)"
            )
        folder = self.root / "Annotations"
        paths = [folder / f"{name}.xml" for name in names]
        return [
            BoxedItem(name, images[name], path if path.is_file() else None)
            for name, path in sorted(zip(names, paths, strict=True))
        ]

    def own_class_space(self) -> ClassSpace:
        names = {each.name for item in self.items if item.annotation for each in _objects(item.annotation)}
        return own_classes(self.root.name, tuple(sorted(names)))

    def objects(self, index: int) -> list[Found]:
        path = self.items[index].annotation
        assert path is not None
        return _objects(path)


def _objects(path: Path) -> list[Found]:
    try:
        text = path.read_text(encoding="utf-8")
        if "<!ENTITY" in text:
            raise ValueError("it defines entities, which no annotation needs")
        boxes = []
        for each in ElementTree.fromstring(text).iter("object"):
            x0, y0, x1, y1 = (float(each.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax"))
            name = (each.findtext("name") or "").strip()
            difficult = (each.findtext("difficult") or "0").strip() == "1"
            boxes.append(Found(name, x0 - 1, y0 - 1, x1, y1, difficult))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise UserError(f"{path} is not a Pascal VOC annotation ({error}); mend or remove it") from error
    return boxes
