from __future__ import annotations

import pytest

from acclimate.data.class_spaces import CLASS_SPACES, KNOWN_IDS, class_space
from acclimate.data.mapillary_classes import V1_NAMES, V2_NAMES
from acclimate.errors import UserError
from acclimate.labels import VOID

# the published tables, written out by hand: raw id -> train id
CITYSCAPES_19 = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15,
    31: 16, 32: 17, 33: 18,
}  # fmt: skip
CITYSCAPES_16 = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 23: 9, 24: 10, 25: 11, 26: 12, 28: 13, 32: 14, 33: 15,
}  # fmt: skip
SYNTHIA_16 = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 1: 9, 10: 10, 17: 11, 8: 12, 19: 13, 12: 14, 11: 15,
}  # fmt: skip
SYNTHIA_19 = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13, 18: 14, 19: 15, 20: 16,
    12: 17, 11: 18,
}  # fmt: skip
SYNTHIA_7 = {
    3: 0, 4: 0, 16: 0, 2: 1, 21: 1, 5: 1, 7: 2, 15: 2, 9: 2, 6: 3, 1: 4, 10: 5, 17: 5, 8: 6, 18: 6, 19: 6, 20: 6, 12: 6,
    11: 6,
}  # fmt: skip
GTA5_7 = {
    7: 0, 8: 0, 22: 0, 11: 1, 12: 1, 13: 1, 17: 2, 19: 2, 20: 2, 21: 3, 23: 4, 24: 5, 25: 5, 26: 6, 27: 6, 28: 6, 31: 6,
    32: 6, 33: 6,
}  # fmt: skip
# ESL's table, by id: 7 flat, 8 construction, …
MAPILLARY_7 = {
    **dict.fromkeys([7, 8, 9, 10, 11, 12, 13, 14, 15, 23, 24, 29], 0), **dict.fromkeys([2, 3, 4, 5, 6, 16, 17, 18], 1),
    **dict.fromkeys([43, 44, 45, 46, 47, 48, 49, 50], 2), 30: 3, 27: 4, **dict.fromkeys([19, 20, 21, 22], 5),
    **dict.fromkeys(range(52, 63), 6),
}  # fmt: skip
# RobustNet's table
MAPILLARY_19 = {
    13: 0, 24: 0, 41: 0, 2: 1, 15: 1, 17: 2, 6: 3, 3: 4, 45: 5, 47: 5, 48: 6, 50: 7, 30: 8, 29: 9, 27: 10, 19: 11,
    20: 12, 21: 12, 22: 12, 55: 13, 61: 14, 54: 15, 58: 16, 57: 17, 52: 18,
}  # fmt: skip
CITYSCAPES_13 = {
    7: 0, 8: 1, 11: 2, 19: 3, 20: 4, 21: 5, 23: 6, 24: 7, 25: 8, 26: 9, 28: 10, 32: 11, 33: 12,
}  # fmt: skip
CAMVID_11 = {raw: raw for raw in range(11)}
CAMVID_10 = {raw: raw for raw in range(10)}
CAMVID_IDD_LITE = {3: 0, 4: 1, 9: 2, 8: 3, 2: 4, 6: 4, 7: 4, 1: 5, 5: 5, 0: 6}
CARLA_IDD_LITE = {6: 0, 7: 0, 8: 1, 4: 2, 10: 3, 2: 4, 11: 4, 5: 4, 12: 4, 1: 5, 9: 5, 0: 6}
CARLA_10 = {0: 0, 1: 1, 11: 1, 5: 2, 6: 3, 7: 3, 8: 4, 9: 5, 12: 6, 2: 7, 10: 8, 4: 9}


@pytest.mark.parametrize(
    ("space", "kind", "expected", "ids"),
    [
        ("cityscapes-19", "cityscapes", CITYSCAPES_19, 35),
        ("cityscapes-19", "gta5", CITYSCAPES_19, 35),
        ("cityscapes-19", "acdc", CITYSCAPES_19, 35),
        ("cityscapes-19", "dark-zurich", CITYSCAPES_19, 35),
        ("cityscapes-19", "synthia", SYNTHIA_19, 23),
        ("cityscapes-16", "cityscapes", CITYSCAPES_16, 35),
        ("cityscapes-16", "gta5", CITYSCAPES_16, 35),
        ("cityscapes-16", "synthia", SYNTHIA_16, 23),
        ("cityscapes-7", "synthia", SYNTHIA_7, 23),
        ("cityscapes-7", "gta5", GTA5_7, 35),
        ("cityscapes-7", "cityscapes", {**GTA5_7, 29: 6, 30: 6}, 35),
        ("cityscapes-7", "mapillary", MAPILLARY_7, 66),
        ("cityscapes-19", "mapillary", MAPILLARY_19, 66),
        ("cityscapes-13", "cityscapes", CITYSCAPES_13, 35),
        ("camvid-11", "camvid", CAMVID_11, 12),
        ("carla-camvid-10", "camvid", CAMVID_10, 12),
        ("carla-camvid-10", "carla", CARLA_10, 13),
        ("carla-iddlite-7", "carla", CARLA_IDD_LITE, 13),
        ("camvid-iddlite", "camvid", CAMVID_IDD_LITE, 12),
    ],
)
def test_mappings_are_the_published_ones(space: str, kind: str, expected: dict[int, int], ids: int) -> None:
    # every id of the format is known; what the table leaves out is void; nothing else is known
    assert class_space(space).mappings[kind] == {raw: expected.get(raw, VOID) for raw in range(ids)}
    assert set(KNOWN_IDS[kind]) == set(range(ids))


def test_subsets_of_the_nineteen_are_the_published_train_ids() -> None:
    nineteen = class_space("cityscapes-19")
    ids = {name: [nineteen.classes.index(each) for each in classes] for name, classes in nineteen.subsets.items()}
    assert ids == {
        "16": [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18],
        "13": [0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18],
    }
    sixteen = class_space("cityscapes-16")
    assert [sixteen.classes.index(each) for each in sixteen.subsets["13"]] == [
        0,
        1,
        2,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
    ]
    assert sixteen.classes == nineteen.subsets["16"]


@pytest.mark.parametrize("name", sorted(set(CLASS_SPACES) - {"scenes"}))
def test_class_spaces_are_consistent(name: str) -> None:
    space = class_space(name)
    assert space.name == name
    assert len(set(space.classes)) == len(space.classes) == len(set(space.colours))
    assert not name[-1].isdigit() or len(space) == int(name.rsplit("-", 1)[-1])
    for table in space.mappings.values():
        assert set(table.values()) <= {*range(len(space)), VOID}


@pytest.mark.parametrize("name", ["carla-iddlite-7", "camvid-iddlite"])
def test_idd_lite_ids_are_its_train_ids(name: str) -> None:
    assert class_space(name).mappings["idd-lite"] == {**{raw: raw for raw in range(7)}, 255: VOID}


def test_the_ten_shared_classes_are_camvids_first_ten() -> None:
    assert class_space("carla-camvid-10").classes == class_space("camvid-11").classes[:10]
    assert class_space("camvid-11").classes[10] == "bicyclist"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown class space 'camvid'; did you mean 'camvid-11'"):
        class_space("camvid")


@pytest.mark.parametrize("name", ["cityscapes-7", "cityscapes-19"])
def test_version_2_of_mapillary_keeps_the_classes_of_version_1(name: str) -> None:
    old, new = class_space(name).mappings["mapillary"], class_space(name).mappings["mapillary-2"]
    shared = set(V1_NAMES) & set(V2_NAMES)
    # v2.0 divided the general lane marking, the traffic light and the billboard; all else is there by its name
    assert set(V1_NAMES) - shared == {"Lane Marking - General", "Traffic Light", "Billboard"}
    for each in shared:
        assert new[V2_NAMES.index(each)] == old[V1_NAMES.index(each)], each
    parts = {
        "Lane Marking - Dashed Line": "Lane Marking - General",
        "Lane Marking (only) - Crosswalk": "Lane Marking - Crosswalk",
        "Traffic Light - Pedestrians": "Traffic Light",
        "Road Shoulder": "Road",
        "Garage": "Building",
        "Person Group": "Person",
        "Traffic Sign - Direction (Back)": "Traffic Sign (Back)",
        "Traffic Sign - Parking": "Traffic Sign (Front)",
        "Static": "Unlabeled",
    }
    for part, whole in parts.items():
        assert new[V2_NAMES.index(part)] == old[V1_NAMES.index(whole)], part
