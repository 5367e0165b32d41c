"""Names for ids and colours: those of the published sets, or of a list of names that lies in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acclimate.data.class_spaces import CAMVID_COLOURS, CITYSCAPES_COLOURS, NINETEEN
from acclimate.data.drafting.values import Values
from acclimate.data.readers.description import VOID_NAME
from acclimate.errors import UserError
from acclimate.io.reading import text_of

CITYSCAPES_IDS = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Cityscapes' label ids (GTA5's too) with a class; 0 to 33 without one are void."""
CARLA_IDS = {
    0: "sky", 1: "building", 2: "fence", 3: VOID_NAME, 4: "pedestrian", 5: "pole", 6: "road line", 7: "road",
    8: "sidewalk", 9: "vegetation", 10: "vehicle", 11: "wall", 12: "traffic sign",
}  # fmt: skip
"""Of CARLA up to 0.9.11, in the red channel of its captures; 0 is also whatever has no class."""
VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table", "dog",
    "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip
_CARLA_COLOURS = {
    0x464646: "building", 0x642828: "fence", 0x375A50: VOID_NAME, 0xDC143C: "pedestrian", 0x999999: "pole",
    0x9DEA32: "road line", 0x804080: "road", 0xF423E8: "sidewalk", 0x6B8E23: "vegetation", 0x00008E: "vehicle",
    0x66669C: "wall", 0xDCDC00: "traffic sign", 0x4682B4: "sky", 0x510051: "ground", 0x966464: "bridge",
    0xE6968C: "rail track", 0xB4A5B4: "guard rail", 0xFAAA1E: "traffic light", 0x6EBEA0: "static", 0xAA7832: "dynamic",
    0x2D3C96: "water", 0x91AA64: "terrain",
}  # fmt: skip
_CITYSCAPES_VOID = (0x6F4A00, 0x510051, 0xFAAAA0, 0xE6968C, 0xB4A5B4, 0x966464, 0x96785A, 0x00005A, 0x00006E)
_LISTS = ("classes.txt", "labels.txt", "class_names.txt", "names.txt", "label_names.txt")
VOID_ID = 255


@dataclass(frozen=True)
class Names:
    """Names of values.

    Attributes:
        of: value -> class or ``void``.
        by: where they come from; empty where all are placeholders.
        unsure: values whose name is a placeholder.
    """

    of: dict[int, str]
    by: str
    unsure: frozenset[int]


def split_names(text: str) -> list[str]:
    """``road, sky, void`` as its names; ``void`` may come several times.

    Raises:
        UserError: one is empty, or given twice.
    """
    names = [name.strip() for name in text.split(",")]
    classes = [name for name in names if name != VOID_NAME]
    if not all(names) or len(set(classes)) < len(classes):
        raise UserError(f"--classes takes different names separated by commas, such as road,sky,car; got {text!r}")
    return names


def names_for(values: Values, root: Path, *, hint: str, given: list[str] | None = None) -> Names:
    """A name for every value.

    Args:
        values: found in the labels.
        root: the folder, in which a list of names may lie.
        hint: how the labels' files and folders are called.
        given: names in the values' order, void left out.

    Raises:
        UserError: another number of names is given than there are values.
    """
    found = sorted(values.files)
    if given is not None:
        wanted = [value for value in found if not _void(values, value)]
        if len(given) != len(wanted):
            listed = ", ".join(map(values.written, wanted))
            raise UserError(f"--classes names {len(given)} classes, but the labels hold {len(wanted)} values: {listed}")
        named = dict(zip(wanted, given, strict=True))
        return Names({value: named.get(value, VOID_NAME) for value in found}, "--classes", frozenset())
    table, by = _colour_table(values) if values.colours else _id_table(values, root, hint.lower())
    of, unsure = {}, set()
    for value in found:
        if value in table:
            of[value] = table[value]
        elif _void(values, value):
            of[value] = VOID_NAME
        else:
            of[value] = f"colour-{value:06x}" if values.colours else f"class-{value}"
            unsure.add(value)
    return Names(of, by if len(unsure) < len(of) else "", frozenset(unsure))


def _void(values: Values, value: int) -> bool:
    return value == (0 if values.colours else VOID_ID)


def _id_table(values: Values, root: Path, hint: str) -> tuple[Mapping[int, str], str]:
    found = set(values.files) - {VOID_ID}
    if (listed := _listed(root)) and found and max(found) < len(listed):
        return dict(enumerate(listed)), "the list of names in the folder"
    if "trainid" in hint.replace("_", "") and found <= set(range(19)):
        return dict(enumerate(NINETEEN)), "Cityscapes' train ids"
    named = "labelids" in hint.replace("_", "") or len(found & set(CITYSCAPES_IDS)) >= 5
    if named and found <= set(range(35)) and max(found, default=0) > 18:
        void = {value: VOID_NAME for value in found if value not in CITYSCAPES_IDS}
        return {**CITYSCAPES_IDS, **void}, "Cityscapes' label ids"
    if "segmentationclass" in hint and found <= set(range(21)):
        return dict(enumerate(("background", *VOC))), "Pascal VOC's ids"
    if "annot" in hint and found <= set(range(12)):
        return {**dict(enumerate(CAMVID_COLOURS)), 11: VOID_NAME}, "CamVid's ids"
    if "cameraseg" in hint and found <= set(CARLA_IDS):
        return CARLA_IDS, "CARLA's ids"
    return {}, ""


def _colour_table(values: Values) -> tuple[Mapping[int, str], str]:
    cityscapes = {_packed(colour): name for name, colour in CITYSCAPES_COLOURS.items()}
    cityscapes |= dict.fromkeys(_CITYSCAPES_VOID, VOID_NAME)
    camvid = {_packed(colour): name for name, colour in CAMVID_COLOURS.items()}
    tables: dict[str, Mapping[int, str]] = {
        "Cityscapes' colours": cityscapes,
        "CamVid's colours": camvid,
        "CARLA's colours": _CARLA_COLOURS,
        "Pascal VOC's colours": {_voc_colour(number): name for number, name in enumerate(VOC, start=1)}
        | {0xE0E0C0: VOID_NAME},
        "CARLA's ids in the red channel": {raw << 16: name for raw, name in CARLA_IDS.items()},
    }
    found = [value for value in values.files if value]

    def covered(by: str) -> tuple[int, float]:
        hits = [value for value in found if value in tables[by]]
        return len(hits), sum(map(values.share, hits))

    best = max(tables, key=covered)
    # one or two colours are anybody's
    return (tables[best], best) if covered(best)[0] >= min(3, len(found)) else ({}, "")


def _packed(colour: tuple[int, int, int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _voc_colour(number: int) -> int:
    """Of the class of that number in VOC's palette: its bits, spread over the channels from the highest down."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return _packed((channels[0], channels[1], channels[2]))


def _listed(root: Path) -> list[str]:
    """The names in the folder's list of them, one a line."""
    for name in _LISTS:
        if (root / name).is_file():
            try:
                lines = [line.strip() for line in text_of(root / name).splitlines()]
            except UserError:
                continue
            return [line for line in lines if line and not line.startswith("#")]
    return []
