"""Boxes of Cityscapes (Cordts et al. 2016) and Foggy Cityscapes (Sakaridis et al. 2018).

Cityscapes has no official boxes; as is usual, the tight box around each annotated instance of the 8 "thing" classes is
taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from acclimate.data.class_space import ClassSpace
from acclimate.data.content import digests_of
from acclimate.data.readers.base import folders_in
from acclimate.data.readers.files import Ids, read_ids
from acclimate.data.sample import Image
from acclimate.detection.classes import CITYSCAPES_THING_IDS, CITYSCAPES_THINGS
from acclimate.detection.readers.base import BoxedFiles, BoxedItem, Found
from acclimate.detection.readers.fog import camera_of, distances, with_fog
from acclimate.errors import UserError
from acclimate.io.files import hash_of
from acclimate.io.reading import json_of

Annotations = Literal["auto", "instances", "polygons"]
BETAS = ("0.005", "0.01", "0.02")
IMAGE_END = "_leftImg8bit"
INSTANCES_END, POLYGONS_END = "_gtFine_instanceIds.png", "_gtFine_polygons.json"
SPLITS = ("train", "val", "test")
SKY = 23
"""Its label id."""


def boxes_of_instances(ids: Ids) -> list[Found]:
    """The tight box of each instance, in the order of instance ids.

    Args:
        ids: (H, W) as in ``*_instanceIds.png``: label id times 1000 plus a number; ids below 1000 are pixels of a
            class, or of a group of objects, that belong to no single object and give no box.
    """
    rows, columns = np.nonzero(ids >= 1000)
    numbers, place = np.unique(ids[rows, columns], return_inverse=True)
    low = np.full((2, len(numbers)), np.iinfo(np.int64).max)
    high = np.full((2, len(numbers)), -1)
    for axis, values in enumerate((columns, rows)):
        np.minimum.at(low[axis], place, values)
        np.maximum.at(high[axis], place, values)
    return [
        Found(name, float(low[0, i]), float(low[1, i]), float(high[0, i]) + 1, float(high[1, i]) + 1)
        for i, number in enumerate(numbers.tolist())
        if (name := CITYSCAPES_THING_IDS.get(number // 1000)) is not None
    ]


def boxes_of_polygons(content: dict[str, object], *, where: Path | str) -> list[Found]:
    """The box around each polygon of a thing class, including what other objects hide of it.

    Groups (``cargroup``) and deleted objects give no box. Vertices are pixels, so a box reaches one beyond the last.

    Raises:
        UserError: the annotation lacks what every Cityscapes annotation has.
    """
    boxes = []
    try:
        width, height = int(content["imgWidth"]), int(content["imgHeight"])  # type: ignore[call-overload]
        for each in content["objects"]:  # type: ignore[attr-defined]
            if each["label"] not in CITYSCAPES_THINGS.classes or each.get("deleted", 0):
                continue
            xs, ys = zip(*each["polygon"], strict=True)
            x0, y0 = max(0, min(xs)), max(0, min(ys))
            x1, y1 = min(width, max(xs) + 1), min(height, max(ys) + 1)
            if x1 > x0 and y1 > y0:
                boxes.append(Found(str(each["label"]), float(x0), float(y0), float(x1), float(y1)))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(f"{where} is not a Cityscapes annotation ({error!r}); put the original file back") from error
    return boxes


def _attenuation(text: str, *, spec: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise UserError(f"{spec}: fog is {text!r}; give the attenuation in 1/m, 0.02 for instance")
    return value


class CityscapesBoxes(BoxedFiles):
    """``leftImg8bit/SPLIT/CITY/*`` with ``gtFine/SPLIT/CITY/*_gtFine_instanceIds.png`` or ``*_polygons.json``.

    Args:
        annotations: which of the two files boxes come from: ``instances`` is exact about what is visible, ``polygons``
            also covers what is hidden; ``auto`` takes instances where they are.
        ground_truth: the folder that holds ``gtFine``; None: ``path``.
    """

    kind = "cityscapes"
    description = "Cityscapes with boxes around instances: leftImg8bit/ gtFine/ (instanceIds or polygons)"
    layout = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_instanceIds.png or _polygons.json"
    images_folder = "leftImg8bit"

    def __init__(
        self,
        path: Path,
        *,
        split: str,
        space: ClassSpace | None,
        annotations: Annotations = "auto",
        ground_truth: Path | None = None,
        fog: str | None = None,
        tolerant: bool = False,
    ) -> None:
        self.annotations = annotations
        self.ground_truth = Path(ground_truth or path).expanduser() / "gtFine"
        self.fog = None if fog is None else _attenuation(fog, spec=f"{self.kind}:{path}")
        super().__init__(path, split=split, space=space, tolerant=tolerant)
        if self.fog is not None:
            for index in range(len(self.items)):
                for file in self._stereo(index):
                    if not file.is_file():
                        raise UserError(
                            f"{self.spec}: fog needs {file}; unpack disparity and camera of Cityscapes there"
                        )

    @classmethod
    def splits(cls, root: Path) -> list[str]:
        return folders_in(root / cls.images_folder, SPLITS)

    def own_class_space(self) -> ClassSpace:
        return CITYSCAPES_THINGS

    def wanted(self, name: str) -> bool:
        """Whether an image of that name, without suffix, belongs to the set."""
        return name.endswith(IMAGE_END)

    def list_items(self) -> list[BoxedItem]:
        images = self.pictures(self.root / self.images_folder / self.split)
        return [BoxedItem(name, path, self._annotation(name)) for name, path in images if self.wanted(name)]

    def _annotation(self, name: str) -> Path | None:
        base = self.ground_truth / self.split / name.partition(IMAGE_END)[0]
        ends = {"instances": [INSTANCES_END], "polygons": [POLYGONS_END]}.get(
            self.annotations, [INSTANCES_END, POLYGONS_END]
        )
        paths = [base.with_name(base.name + end) for end in ends]
        return next((path for path in paths if path.is_file()), None)

    def _stereo(self, index: int) -> tuple[Path, Path]:
        """The files of an image's disparity and camera."""
        name = self.items[index].name.partition(IMAGE_END)[0]
        places = (f"disparity/{self.split}/{name}_disparity.png", f"camera/{self.split}/{name}_camera.json")
        return self.root / places[0], self.root / places[1]

    def image(self, index: int) -> Image:
        clear = super().image(index)
        if self.fog is None:
            return clear
        disparity, camera = self._stereo(index)
        raw = read_ids(disparity)
        if raw.shape != clear.shape[:2]:
            raise UserError(
                f"{disparity} is {raw.shape[1]}x{raw.shape[0]}, its picture {clear.shape[1]}x{clear.shape[0]}"
            )
        annotation = self.items[index].annotation
        sky = read_ids(annotation) == SKY if annotation is not None and annotation.suffix == ".png" else None
        distance = distances(raw.astype(np.uint16), camera_of(json_of(camera), where=camera), sky=sky)
        return with_fog(clear, distance, beta=self.fog)

    def fingerprint(self) -> str:
        clear = super().fingerprint()
        if self.fog is None:
            return clear
        digests = digests_of([self._stereo(index) for index in range(len(self))], f"disparities of {self.spec}")
        return hash_of(["fog", self.fog, clear, digests])

    def objects(self, index: int) -> list[Found]:
        path = self.items[index].annotation
        assert path is not None
        if path.suffix == ".png":
            return boxes_of_instances(read_ids(path))
        return boxes_of_polygons(json_of(path), where=path)


class FoggyCityscapesBoxes(CityscapesBoxes):
    """``leftImg8bit_foggy/SPLIT/CITY/*_foggy_beta_BETA.png`` with the boxes of Cityscapes.

    Args:
        beta: attenuation in 1/m: 0.005, 0.01 or 0.02 (the densest and most used), or ``all`` three of every scene.
    """

    kind = "foggy-cityscapes"
    description = "Foggy Cityscapes with boxes: leftImg8bit_foggy/ gtFine/; option beta"
    layout = "leftImg8bit_foggy/SPLIT/CITY/*_leftImg8bit_foggy_beta_BETA.png and gtFine/ as in Cityscapes"
    images_folder = "leftImg8bit_foggy"

    def __init__(
        self,
        path: Path,
        *,
        split: str,
        space: ClassSpace | None,
        beta: str = "0.02",
        annotations: Annotations = "auto",
        ground_truth: Path | None = None,
        tolerant: bool = False,
    ) -> None:
        if beta not in (*BETAS, "all"):
            raise UserError(f"foggy-cityscapes:{path}: beta is {beta!r}; give one of {', '.join(BETAS)}, all")
        self.ends = tuple(f"{IMAGE_END}_foggy_beta_{each}" for each in (BETAS if beta == "all" else (beta,)))
        super().__init__(
            path, split=split, space=space, annotations=annotations, ground_truth=ground_truth, tolerant=tolerant
        )

    def wanted(self, name: str) -> bool:
        return name.endswith(self.ends)
