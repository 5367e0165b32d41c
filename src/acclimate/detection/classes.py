"""Class spaces of detection: the countable classes of Cityscapes and of the built-in scenes."""

from __future__ import annotations

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CITYSCAPES_COLOURS

CITYSCAPES_THING_IDS = {
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Cityscapes label id -> name of the classes whose objects are annotated one by one."""


def _things(name: str, classes: tuple[str, ...]) -> ClassSpace:
    return ClassSpace(name=name, classes=classes, colours=tuple(CITYSCAPES_COLOURS[each] for each in classes))


CITYSCAPES_THINGS = _things("cityscapes-things", tuple(CITYSCAPES_THING_IDS.values()))
"""The 8 classes of Cityscapes -> Foggy Cityscapes, in the order of the label ids."""
SCENES_THINGS = _things("scenes-things", ("person", "rider", "car", "bicycle"))
"""The 4 countable classes of the built-in scenes."""

_PALETTE = (
    (230, 60, 60), (60, 160, 240), (70, 180, 75), (245, 190, 40), (150, 90, 220), (240, 130, 40), (70, 210, 210),
    (230, 80, 180),
)  # fmt: skip


def own_classes(name: str, classes: tuple[str, ...]) -> ClassSpace:
    """The class space of a data set of one's own; colours of Cityscapes where the names agree."""
    colours = [CITYSCAPES_COLOURS.get(each, _PALETTE[i % len(_PALETTE)]) for i, each in enumerate(classes)]
    return ClassSpace(name=name, classes=classes, colours=tuple(colours))
