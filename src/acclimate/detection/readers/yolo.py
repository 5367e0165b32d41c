"""A folder of one's own with boxes in the text files of YOLO."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.files import image_size
from acclimate.detection.classes import own_classes
from acclimate.detection.readers.base import BoxedFiles, BoxedItem, Found
from acclimate.errors import UserError
from acclimate.io.reading import text_of
from acclimate.io.yaml import read_yaml

NAMES = ("data.yaml", "dataset.yaml", "classes.txt")
"""Where the names of the classes may be, in this order."""


class YoloBoxes(BoxedFiles):
    """``images/SPLIT/`` and ``labels/SPLIT/*.txt``, or ``SPLIT/images/`` and ``SPLIT/labels/``, and the classes' names.

    A line is an object: its class and its box, or the corners of its outline, as fractions of the picture's width and
    height (a box as centre and sides). A picture without a text file, or with an empty one, holds no object.
    """

    kind = "yolo"
    description = "images with boxes in YOLO's text files: images/SPLIT/ labels/SPLIT/ data.yaml"
    layout = "images/SPLIT/*.jpg, labels/SPLIT/*.txt (or SPLIT/images, SPLIT/labels), names in data.yaml or classes.txt"

    @staticmethod
    def _homes(root: Path) -> dict[str, tuple[Path, Path]]:
        """Split -> the folders of its pictures and of its text files."""
        homes = {path.name: (path, root / "labels" / path.name) for path in _folders(root / "images")}
        for path in _folders(root):
            if (path / "images").is_dir():
                homes.setdefault(path.name, (path / "images", path / "labels"))
        return homes

    @classmethod
    def splits(cls, root: Path) -> list[str]:
        return sorted(cls._homes(root))

    def list_items(self) -> list[BoxedItem]:
        self._names, self._names_in = self._read_names()
        pictures, texts = self._homes(self.root)[self.split]
        labelled = texts.is_dir()

        def annotation(name: str) -> Path | None:
            path = texts / f"{name}.txt"
            if path.is_file():
                return path
            # a picture of a labelled set without a text of its own holds nothing: the list of names stands for it
            return self._names_in if labelled else None

        return [BoxedItem(name, image, annotation(name)) for name, image in self.pictures(pictures)]

    def _read_names(self) -> tuple[dict[int, str], Path]:
        for path in (self.root / name for name in NAMES):
            if path.is_file():
                break
        else:
            raise UserError(f"{self.spec}: {self.root} has none of {', '.join(NAMES)}; expected {self.layout}")
        if path.suffix == ".txt":
            return dict(enumerate(line.strip() for line in text_of(path).splitlines() if line.strip())), path
        content = read_yaml(path)
        names = content.get("names") if isinstance(content, Mapping) else None
        if isinstance(names, list):
            names = dict(enumerate(names))
        if not isinstance(names, Mapping) or not names or not all(_is_name(*item) for item in names.items()):
            raise UserError(
                f"{path}: names must be a list of the classes, or a mapping of their numbers to their names"
            )
        return dict(names), path

    def own_class_space(self) -> ClassSpace:
        return own_classes(self.root.name, tuple(dict.fromkeys(self._names[number] for number in sorted(self._names))))

    def objects(self, index: int) -> list[Found]:
        item = self.items[index]
        assert item.annotation is not None
        if item.annotation == self._names_in:
            return []
        height, width = image_size(item.image)
        found = []
        for number, line in enumerate(text_of(item.annotation).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                place, *values = line.split()
                name = self._names[int(place)]
                x0, y0, x1, y1 = _corners([float(value) for value in values])
            except (ValueError, KeyError) as error:
                raise UserError(
                    f"{item.annotation}, line {number}: {line.strip()[:60]!r} is no object ({error}); expected a class "
                    f"from 0 to {max(self._names)}, and its centre and sides or the corners of its outline as fractions"
                ) from error
            found.append(Found(name, x0 * width, y0 * height, x1 * width, y1 * height))
        return found


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 as fractions, of a centre with sides or of an outline.

    Raises:
        ValueError: they are neither, or lie elsewhere (as pixels do).
    """
    if not all(-0.01 <= value <= 1.01 for value in values):
        raise ValueError("its numbers are no fractions of the picture")
    if len(values) == 4:
        x, y, width, height = values
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise ValueError(f"it has {len(values)} numbers besides its class")
    x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in corners)
    return x0, y0, x1, y1


def _is_name(number: object, name: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and isinstance(name, str)


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
