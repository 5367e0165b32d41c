"""How often each class occurs in a set with boxes, and how large its objects are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.readers.files import image_size
from acclimate.detection.check import objects_of
from acclimate.detection.readers.base import BoxedFiles, Found
from acclimate.detection.sample import BoxedDataset
from acclimate.errors import UserError


@dataclass(frozen=True)
class ClassOfBoxes:
    """The objects of one class.

    Attributes:
        objects: how many, difficult ones too.
        difficult: how many of them are neither trained on nor scored.
        images: in how many images the class occurs.
        sizes: (N, 2) widths and heights in pixels of the images.
    """

    objects: int
    difficult: int
    images: int
    sizes: NDArray[np.float64]

    def row(self) -> list[str]:
        """The columns of :data:`COLUMNS`."""
        counts = [str(self.objects), str(self.difficult), str(self.images)]
        if not self.objects:
            return [*counts, "–", "–", "–"]
        width, height = np.median(self.sizes, axis=0)
        least, middle, most = np.quantile(np.sqrt(self.sizes.prod(axis=1)), (0.1, 0.5, 0.9))
        return [*counts, f"{width:.0f}x{height:.0f}", f"{middle:.0f}", f"{least:.0f} to {most:.0f}"]


COLUMNS = ("objects", "difficult", "in images", "width x height", "side", "80 % of sides")
"""Of the table: sizes are medians in pixels, a side is the root of a box's area."""


@dataclass(frozen=True)
class BoxStatistics:
    """Of a set with boxes.

    Attributes:
        spec, split: of what.
        images, empty: how many there are, and how many of them hold no object.
        image_sizes: ``WIDTHxHEIGHT`` -> how many images, the most frequent first.
        classes: by name.
    """

    spec: str
    split: str
    images: int
    empty: int
    image_sizes: dict[str, int]
    classes: dict[str, ClassOfBoxes]

    def table(self) -> str:
        """All of it as text; sizes in pixels."""
        objects = sum(each.objects for each in self.classes.values())
        rows = [("class", *COLUMNS), *((name, *each.row()) for name, each in self.classes.items())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            f"{self.spec} ({self.split}), {self.images} images, {objects} objects, {self.empty} images without any",
            "sizes: " + ", ".join(f"{size} ({count})" for size, count in self.image_sizes.items()),
        ]
        for name, *values in rows:
            cells = (value.rjust(width) for value, width in zip(values, widths[1:], strict=True))
            lines.append("  ".join([name.ljust(widths[0]), *cells]))
        return "\n".join(lines)


def box_stats(dataset: BoxedDataset, *, progress: Progress | None = None) -> BoxStatistics:
    """The statistics of a set with boxes, in pixels of its images; degenerate boxes are left out.

    Raises:
        UserError: the set has no boxes, or an annotation or image is at fault.
    """
    if not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no boxes to count; `acclimate check` says what is there")
    names = dataset.class_space.classes
    found: dict[str, list[Found]] = {name: [] for name in names}
    images: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    empty, count = 0, len(dataset)

    def looked_at(index: int) -> tuple[list[Found], tuple[int, int]]:
        size = image_size(dataset.items[index].image) if isinstance(dataset, BoxedFiles) else None
        objects = [each for each in objects_of(dataset, index) if not each.is_degenerate]
        return objects, size or dataset.image(index).shape[:2]

    what = f"statistics of {dataset.spec}"
    for objects, (height, width) in reported(in_parallel(looked_at, count), count, what, progress):
        sizes[f"{width}x{height}"] += 1
        empty += not objects
        images.update({each.name for each in objects})
        for each in objects:
            found[each.name].append(each)
    classes = {
        name: ClassOfBoxes(
            len(of),
            sum(each.difficult for each in of),
            images[name],
            np.array([[each.x1 - each.x0, each.y1 - each.y0] for each in of]).reshape(-1, 2),
        )
        for name, of in found.items()
    }
    return BoxStatistics(dataset.spec, dataset.split, count, empty, dict(sizes.most_common()), classes)
