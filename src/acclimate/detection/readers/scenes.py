"""The built-in scenes with boxes: clear pictures and physically based fog, made when asked for."""

from __future__ import annotations

import numpy as np

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.scenes import KEPT_BYTES, ScenesDataset
from acclimate.data.sample import Image
from acclimate.detection.classes import SCENES_THINGS
from acclimate.detection.sample import BoxedDataset, Boxes
from acclimate.io.files import hash_of

SMALLEST = 8
"""Pixels; an object lower or narrower than half of this is difficult: too little of it is seen to be told."""


class ScenesBoxes(BoxedDataset):
    """Scenes in one look with the boxes of persons, riders, cars and bicycles.

    Args:
        scenes: gives pictures and boxes. Its look ``camera`` is clear; ``fog`` is the same photograph seen through
            Koschmieder's law I = J t + A (1 - t), t = exp(-beta depth).
        space: the classes; None: the four of the scenes.
        smallest: objects less high than this, or less wide than half of it, in pixels of the picture, are difficult.
    """

    has_labels = True

    def __init__(self, scenes: ScenesDataset, *, space: ClassSpace | None = None, smallest: int = SMALLEST) -> None:
        self.scenes, self.smallest = scenes, smallest
        self.spec, self.split, self.names = scenes.spec, scenes.split, scenes.names
        self.class_space = SCENES_THINGS if space is None else space
        self._place = {name: place for place, name in enumerate(self.class_space.classes)}
        self._kept: dict[int, tuple[Image, Boxes]] = {}

    def _picture(self, index: int) -> tuple[Image, Boxes]:
        if index not in self._kept:
            rendering = self.scenes.rendering(index)
            known = [box for box in rendering.boxes if box.name in self._place]
            corners = np.array([box[1:] for box in known], dtype=np.float64).reshape(-1, 4)
            size = corners[:, 2:] - corners[:, :2]
            difficult = (size[:, 1] < self.smallest) | (size[:, 0] < self.smallest / 2)
            boxes = Boxes.of(corners.tolist(), [self._place[box.name] for box in known], difficult.tolist())
            picture = (rendering.image, boxes)
            if (len(self._kept) + 1) * rendering.image.nbytes > KEPT_BYTES:
                return picture
            self._kept[index] = picture
        return self._kept[index]

    def image(self, index: int) -> Image:
        image: Image = self._picture(index)[0].copy()
        return image

    def boxes(self, index: int) -> Boxes:
        return self._picture(index)[1]

    def fingerprint(self) -> str:
        return hash_of(["boxes", self.scenes.fingerprint(), list(self.class_space.classes), self.smallest])

    def __getstate__(self) -> dict[str, object]:
        """The pictures stay behind when the dataset is sent to another process."""
        return {**self.__dict__, "_kept": {}}
