"""The 14 classes of the built-in street scenes, in the order and colours of Cityscapes."""

from __future__ import annotations

CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "sky",
    "person",
    "rider",
    "car",
    "bicycle",
)
(
    ROAD,
    SIDEWALK,
    BUILDING,
    WALL,
    FENCE,
    POLE,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    VEGETATION,
    SKY,
    PERSON,
    RIDER,
    CAR,
    BICYCLE,
) = range(14)

THINGS = (PERSON, RIDER, CAR, BICYCLE)
"""The classes whose objects are counted one by one: they have instance ids and boxes."""

COLOURS = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (119, 11, 32),
)
