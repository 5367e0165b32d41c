"""How often each class occurs, and how large it is where it does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.sample import Dataset
from acclimate.data.seen_classes import nothing_labelled, remarks
from acclimate.errors import UserError
from acclimate.io.checksums import remembered_json, write_verified_json
from acclimate.io.files import hash_of

_VERSION = 2


class Statistics(BaseModel):
    """Of a labelled set; lists run over its classes in train-id order.

    Attributes:
        spec, split, class_space, images: of what.
        classes: names.
        pixels: pixel counts at native size.
        void_pixels: pixels no class owns.
        class_ratios: ``pixels`` divided by their sum, void left out: the class-ratio prior p_s of ADVENT (eq. 10).
        images_with_class: in how many images a class occurs.
        mean_class_sizes: mean, over the images that contain a class, of the fraction of the image it covers: h_s of
            MLSL (eq. 4); 0 where no image contains it.
        image_sizes: ``WIDTHxHEIGHT`` -> how many images, the most frequent first.
        remarks: classes without a pixel, and what is void only by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: str
    split: str
    class_space: str
    images: int
    classes: list[str]
    pixels: list[int]
    void_pixels: int
    class_ratios: list[float]
    images_with_class: list[int]
    mean_class_sizes: list[float]
    image_sizes: dict[str, int]
    remarks: list[str] = []

    @property
    def void_share(self) -> float:
        """The fraction of all pixels that is void."""
        return self.void_pixels / max(1, self.void_pixels + sum(self.pixels))

    def table(self) -> str:
        """All of it as text, in percent."""
        width = max(map(len, self.classes))
        lines = [
            f"{self.spec} ({self.split}), {self.images} images, class space {self.class_space}",
            "sizes: " + ", ".join(f"{size} ({count})" for size, count in self.image_sizes.items()),
            f"{'class':{width}}  {'% of pixels':>11}  {'in images':>9}  {'% where present':>15}",
        ]
        for name, ratio, images, size in zip(
            self.classes, self.class_ratios, self.images_with_class, self.mean_class_sizes, strict=True
        ):
            lines.append(f"{name:{width}}  {100 * ratio:11.3f}  {images:9d}  {100 * size:15.3f}")
        lines.append(f"void: {100 * self.void_share:.2f} % of all pixels (class shares leave it out)")
        lines.extend(f"note: {remark}" for remark in self.remarks)
        return "\n".join(lines)


def stats(dataset: Dataset, cache: Path | None = None, *, progress: Progress | None = None) -> Statistics:
    """The statistics of a labelled set, from its labels at native size.

    Args:
        dataset: every label is read once.
        cache: folder in which results are kept by the dataset's fingerprint; None: count again.
        progress: told how far the counting is; None: a bar on stderr.

    Raises:
        UserError: the set has no labels, all of them are void, or a label file is at fault.
    """
    if not dataset.has_labels:
        raise UserError(
            f"{dataset.spec} ({dataset.split}) has no labels to count; `acclimate check` says what is there"
        )
    kept = Path(cache) / f"{hash_of([_VERSION, dataset.fingerprint()])}-stats.json" if cache is not None else None
    if kept is not None and (found := remembered_json(kept)) is not None:
        # the same files may have been opened under another path
        return Statistics.model_validate({**found, "spec": dataset.spec})
    counted = _counted(dataset, progress)
    if kept is not None:
        write_verified_json(kept, counted.model_dump())
    return counted


def _counted(dataset: Dataset, progress: Progress | None) -> Statistics:
    classes = len(dataset.class_space)
    pixels = np.zeros(256, dtype=np.int64)
    containing = np.zeros(classes, dtype=np.int64)
    summed_sizes = np.zeros(classes)
    sizes: Counter[str] = Counter()

    def histogram(index: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], str]:
        label = dataset.label(index)
        return np.bincount(label.ravel(), minlength=256), f"{label.shape[1]}x{label.shape[0]}"

    count = len(dataset)
    for counts, size in reported(in_parallel(histogram, count), count, f"statistics of {dataset.spec}", progress):
        pixels += counts
        containing += counts[:classes] > 0
        summed_sizes += counts[:classes] / counts.sum()
        sizes[size] += 1
    owned = pixels[:classes]
    if not owned.any():
        raise nothing_labelled(dataset)
    return Statistics(
        spec=dataset.spec,
        split=dataset.split,
        class_space=dataset.class_space.name,
        images=count,
        classes=list(dataset.class_space.classes),
        pixels=owned.tolist(),
        void_pixels=int(pixels.sum() - owned.sum()),
        class_ratios=(owned / max(1, owned.sum())).tolist(),
        images_with_class=containing.tolist(),
        mean_class_sizes=(summed_sizes / np.maximum(1, containing)).tolist(),
        image_sizes=dict(sizes.most_common()),
        remarks=remarks(dataset, pixels, looked=count),
    )
