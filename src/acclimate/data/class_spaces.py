"""The class spaces of the field, and how each kind of dataset maps into them.

Sources of the tables: the Cityscapes label definitions (which GTA5 shares), the SYNTHIA-RAND-CITYSCAPES class list, the
mappings of the ADVENT and ESL code, and the SegNet copy of CamVid. Every raw id a format defines is a key: those that
are no class of a space are void, and any other value in a label file is an error.

Two ids deserve a word. Cityscapes' licence plate is id -1, which an 8-bit label can only hold as 255; GTA5 writes it as
34. And a file of *train ids* holds 255 too, and reading those as label ids would silently scramble the classes: the
readers tell the two apart (see ``readers/label_ids.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from acclimate.data.class_space import ClassSpace
from acclimate.data.mapillary_classes import V1_NAMES, V1_NINETEEN, V1_SEVEN, V2_NAMES, V2_NINETEEN, V2_SEVEN
from acclimate.errors import UserError, unknown
from acclimate.labels import VOID

Colour = tuple[int, int, int]

CITYSCAPES_COLOURS: dict[str, Colour] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""The 19 train classes of Cityscapes in train-id order, with their official colours."""

NINETEEN = tuple(CITYSCAPES_COLOURS)
SIXTEEN = tuple(name for name in NINETEEN if name not in ("terrain", "truck", "train"))
"""The classes SYNTHIA shares with Cityscapes."""
THIRTEEN = tuple(name for name in SIXTEEN if name not in ("wall", "fence", "pole"))
"""The 16 without the three thin or rare ones: the classes of the published mIoU*."""

# raw id -> class name; ids that a format defines and no space uses are listed beside
_CITYSCAPES_IDS = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
_SYNTHIA_IDS = {
    1: "sky", 2: "building", 3: "road", 4: "sidewalk", 5: "fence", 6: "vegetation", 7: "pole", 8: "car",
    9: "traffic sign", 10: "person", 11: "bicycle", 12: "motorcycle", 15: "traffic light", 16: "terrain", 17: "rider",
    18: "truck", 19: "bus", 20: "train", 21: "wall",
}  # fmt: skip
KNOWN_IDS: dict[str, Collection[int]] = {
    "cityscapes": range(35),
    "gta5": range(35),
    "acdc": range(35),
    "dark-zurich": range(35),
    "synthia": range(23),
    "mapillary": range(len(V1_NAMES)),
    "mapillary-2": range(len(V2_NAMES)),
    "camvid": range(12),
    "carla": range(13),
    "idd-lite": (*range(7), VOID),
}
"""For each kind, the raw ids its format defines."""
_AS_CITYSCAPES = ("gta5", "acdc", "dark-zurich")
"""Kinds whose label ids are those of Cityscapes."""

CAMVID_COLOURS: dict[str, Colour] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
"""CamVid's 11 classes in the order of its ids; id 11 is void."""
_CAMVID_IDS = dict(enumerate(CAMVID_COLOURS))
# CARLA's road line is road and its wall is building, as CamVid draws them; its "other" (3) is void. Id 0 is whatever
# has no class: the reader keeps as sky only the part of it that reaches the top of the picture.
_CARLA_IDS = {
    0: "sky", 1: "building", 11: "building", 5: "pole", 6: "road", 7: "road", 8: "pavement", 9: "tree", 12: "sign",
    2: "fence", 10: "car", 4: "pedestrian",
}  # fmt: skip

IDD_LITE_COLOURS: dict[str, Colour] = {
    "drivable": (128, 64, 128),
    "non-drivable": (244, 35, 232),
    "living thing": (220, 20, 60),
    "vehicle": (0, 0, 142),
    "roadside object": (220, 190, 40),
    "far object": (107, 142, 35),
    "sky": (70, 130, 180),
}
"""IDD-Lite's seven coarse classes in the order of its ids; void is 255."""
# A rider is a living thing and a bicycle a vehicle there: CamVid's bicyclists, who are both, are void.
_IDD_LITE_OF_CAMVID = {
    "road": "drivable", "pavement": "non-drivable", "pedestrian": "living thing", "car": "vehicle",
    "pole": "roadside object", "sign": "roadside object", "fence": "roadside object", "building": "far object",
    "tree": "far object", "sky": "sky",
}  # fmt: skip
_IDD_LITE_OF_CARLA = {
    0: "sky", 1: "far object", 2: "roadside object", 4: "living thing", 5: "roadside object", 6: "drivable",
    7: "drivable", 8: "non-drivable", 9: "far object", 10: "vehicle", 11: "roadside object", 12: "roadside object",
}  # fmt: skip

_SEVEN: dict[str, Colour] = {
    "flat": (128, 64, 128),
    "construction": (70, 70, 70),
    "object": (153, 153, 153),
    "nature": (107, 142, 35),
    "sky": (70, 130, 180),
    "human": (220, 20, 60),
    "vehicle": (0, 0, 142),
}
_SEVEN_OF_NINETEEN = {
    "road": "flat", "sidewalk": "flat", "terrain": "flat", "building": "construction", "wall": "construction",
    "fence": "construction", "pole": "object", "traffic light": "object", "traffic sign": "object",
    "vegetation": "nature", "sky": "sky", "person": "human", "rider": "human", "car": "vehicle", "truck": "vehicle",
    "bus": "vehicle", "train": "vehicle", "motorcycle": "vehicle", "bicycle": "vehicle",
}  # fmt: skip


def mapping(classes: Iterable[str], names: Mapping[int, str], known: Iterable[int]) -> dict[int, int]:
    """Raw id -> train id in ``classes``; ids in ``known`` without a class there are void."""
    train_ids = {name: index for index, name in enumerate(classes)}
    return {raw: train_ids.get(names.get(raw, ""), VOID) for raw in known}


def _cityscapes(name: str, classes: tuple[str, ...], subsets: Mapping[str, tuple[str, ...]]) -> ClassSpace:
    return ClassSpace(
        name=name,
        classes=classes,
        colours=tuple(CITYSCAPES_COLOURS[each] for each in classes),
        mappings={
            "cityscapes": mapping(classes, _CITYSCAPES_IDS, KNOWN_IDS["cityscapes"]),
            **{kind: mapping(classes, _CITYSCAPES_IDS, KNOWN_IDS[kind]) for kind in _AS_CITYSCAPES},
            "synthia": mapping(classes, _SYNTHIA_IDS, KNOWN_IDS["synthia"]),
            "mapillary": mapping(classes, V1_NINETEEN, KNOWN_IDS["mapillary"]),
            "mapillary-2": mapping(classes, V2_NINETEEN, KNOWN_IDS["mapillary-2"]),
        },
        subsets=subsets,
    )


def _cityscapes_7() -> ClassSpace:
    """The super-classes of ESL's Mapillary experiments.

    ESL's tables put terrain under *nature* for Cityscapes and under *flat* for every other set; here it is flat
    everywhere, so that a network trained on one is scored fairly on another. Cityscapes' caravan (29) and trailer (30)
    are vehicles there and void in GTA5.
    """
    cityscapes = {raw: _SEVEN_OF_NINETEEN[name] for raw, name in _CITYSCAPES_IDS.items()}
    synthia = {raw: _SEVEN_OF_NINETEEN[name] for raw, name in _SYNTHIA_IDS.items()}
    return ClassSpace(
        name="cityscapes-7",
        classes=tuple(_SEVEN),
        colours=tuple(_SEVEN.values()),
        mappings={
            "cityscapes": mapping(_SEVEN, {**cityscapes, 29: "vehicle", 30: "vehicle"}, KNOWN_IDS["cityscapes"]),
            **{kind: mapping(_SEVEN, cityscapes, KNOWN_IDS[kind]) for kind in _AS_CITYSCAPES},
            "synthia": mapping(_SEVEN, synthia, KNOWN_IDS["synthia"]),
            "mapillary": mapping(_SEVEN, V1_SEVEN, KNOWN_IDS["mapillary"]),
            "mapillary-2": mapping(_SEVEN, V2_SEVEN, KNOWN_IDS["mapillary-2"]),
        },
    )


def _camvid(name: str, classes: tuple[str, ...], **others: Mapping[int, str]) -> ClassSpace:
    return ClassSpace(
        name=name,
        classes=classes,
        colours=tuple(CAMVID_COLOURS[each] for each in classes),
        mappings={
            kind: mapping(classes, names, KNOWN_IDS[kind]) for kind, names in {"camvid": _CAMVID_IDS, **others}.items()
        },
    )


def _idd_lite(name: str, **others: Mapping[int, str]) -> ClassSpace:
    kinds = {"idd-lite": dict(enumerate(IDD_LITE_COLOURS)), **others}
    return ClassSpace(
        name=name,
        classes=tuple(IDD_LITE_COLOURS),
        colours=tuple(IDD_LITE_COLOURS.values()),
        mappings={kind: mapping(IDD_LITE_COLOURS, names, KNOWN_IDS[kind]) for kind, names in kinds.items()},
    )


def _camvid_iddlite() -> ClassSpace:
    camvid = {raw: _IDD_LITE_OF_CAMVID[name] for raw, name in _CAMVID_IDS.items() if name in _IDD_LITE_OF_CAMVID}
    return _idd_lite("camvid-iddlite", camvid=camvid)


def _scenes() -> ClassSpace:
    from acclimate.data.readers.scenes import SCENES_14

    return SCENES_14


CLASS_SPACES: dict[str, Callable[[], ClassSpace]] = {
    "cityscapes-19": lambda: _cityscapes("cityscapes-19", NINETEEN, {"16": SIXTEEN, "13": THIRTEEN}),
    "cityscapes-16": lambda: _cityscapes("cityscapes-16", SIXTEEN, {"13": THIRTEEN}),
    "cityscapes-13": lambda: _cityscapes("cityscapes-13", THIRTEEN, {}),
    "cityscapes-7": _cityscapes_7,
    "camvid-11": lambda: _camvid("camvid-11", tuple(CAMVID_COLOURS)),
    # the source has no bicyclists, so CamVid's are void
    "carla-camvid-10": lambda: _camvid("carla-camvid-10", tuple(CAMVID_COLOURS)[:10], carla=_CARLA_IDS),
    "carla-iddlite-7": lambda: _idd_lite("carla-iddlite-7", carla=_IDD_LITE_OF_CARLA),
    "camvid-iddlite": _camvid_iddlite,
    "scenes": _scenes,
}
"""Class spaces by name; each is made when asked for."""


_OTHER_NAMES = {
    "pavement": "sidewalk", "footpath": "sidewalk", "footway": "sidewalk", "traffic lights": "traffic light",
    "sign": "traffic sign", "tree": "vegetation", "trees": "vegetation", "grass": "terrain", "pedestrian": "person",
    "human": "person", "people": "person", "cyclist": "rider", "vehicle": "car", "lorry": "truck", "tram": "train",
    "motorbike": "motorcycle", "bike": "bicycle", "street": "road", "house": "building",
}  # fmt: skip


def usual_colour(name: str) -> Colour | None:
    """The colour in which street scenes usually draw a class of that name, Cityscapes'; None for other names."""
    plain = name.lower().replace("_", " ").replace("-", " ").strip()
    return CITYSCAPES_COLOURS.get(_OTHER_NAMES.get(plain, plain))


def class_space(name: str) -> ClassSpace:
    """The class space of that name.

    Raises:
        UserError: no class space has that name.
    """
    if name not in CLASS_SPACES:
        raise unknown("class space", name, CLASS_SPACES)
    return CLASS_SPACES[name]()


@dataclass(frozen=True)
class NamedIds:
    """How a kind of data is read in classes that no registered class space has, but all of which it names.

    Attributes:
        mapping: raw id -> position of its class, void where the classes lack it.
        left_out: the classes of the kind that are void for that reason.
    """

    mapping: Mapping[int, int]
    left_out: tuple[str, ...]


def ids_by_name(kind: str, classes: Sequence[str]) -> NamedIds | None:
    """The ids of a kind of data by the names of classes, in any order; None where the kind lacks one of them."""
    for name in CLASS_SPACES:
        space = class_space(name)
        if kind in space.mappings and classes and set(classes) <= set(space.classes):
            place = {train: classes.index(each) for train, each in enumerate(space.classes) if each in classes}
            found = {raw: place.get(train, VOID) for raw, train in space.mappings[kind].items()}
            return NamedIds(found, tuple(each for each in space.classes if each not in classes))
    return None


def cityscapes_label_ids(space: ClassSpace) -> list[int]:
    """The Cityscapes label id of every class, in train-id order: what the official evaluation wants.

    Raises:
        UserError: a class is none of the 19.
    """
    ids = {name: raw for raw, name in _CITYSCAPES_IDS.items()}
    if strangers := [name for name in space.classes if name not in ids]:
        raise UserError(
            f"{strangers[0]!r} of the class space {space.name} is no class of the Cityscapes evaluation; only networks "
            "over (a part of) its 19 classes can write that format"
        )
    return [ids[name] for name in space.classes]
