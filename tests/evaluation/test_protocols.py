from __future__ import annotations

import pytest

from acclimate.data import class_spaces
from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError
from acclimate.evaluation.protocols import PROTOCOLS, protocol, protocol_for, protocol_of


def test_the_published_protocols_are_there() -> None:
    assert set(PROTOCOLS) >= {"cityscapes-19", "cityscapes-16", "camvid-11", "carla-camvid-10", "scenes"}
    for registered in PROTOCOLS.values():
        assert registered.inference.resample == ("probabilities" if registered.name.endswith("-bdl") else "logits")
        assert registered.inference.align_corners
        assert registered.resolution == "native"


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_subsets_are_classes_of_the_class_space(name: str) -> None:
    space = class_spaces.class_space(PROTOCOLS[name].class_space)
    for classes in PROTOCOLS[name].subsets.values():
        assert set(classes) <= set(space.classes)
    if name.rsplit("-", 1)[-1].isdigit():
        assert len(space) == int(name.rsplit("-", 1)[-1])


def test_thirteen_are_the_sixteen_without_wall_fence_and_pole() -> None:
    sixteen = class_spaces.class_space("cityscapes-16").classes
    (thirteen,) = protocol("cityscapes-16").subsets.values()
    assert protocol("cityscapes-19").subsets["13"] == thirteen
    assert [sixteen.index(name) for name in thirteen] == [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'cityscapes-19'"):
        protocol("cityscape-19")


def test_a_folders_own_classes_need_no_registered_protocol() -> None:
    assert protocol_for("scenes", "folder:yard.yaml") is PROTOCOLS["scenes"]
    assert protocol_for("yard", "folder:yard.yaml").class_space == "yard"
    with pytest.raises(UserError, match="unknown protocol 'yard'"):
        protocol_for("yard", "camvid:somewhere")


def test_a_users_own_classes_get_the_default_protocol() -> None:
    own = ClassSpace("yard", ("grass", "stone"), ((0, 1, 0), (1, 1, 1)), subsets={"soft": ("grass",)})
    assert protocol_of(own).class_space == "yard"
    assert protocol_of(own).subsets == {"soft": ("grass",)}
    assert protocol_of(class_spaces.class_space("scenes")) is PROTOCOLS["scenes"]
