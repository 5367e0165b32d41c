from __future__ import annotations

from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import class_space
from acclimate.data.readers.description import distinct_colours, read_description
from acclimate.data.registry import default_class_space, open_dataset, training_class_space
from acclimate.errors import UserError
from acclimate.labels import VOID


def test_own_classes_ids_and_colours(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_folder(tmp_path), split="val")
    assert dataset.class_space.name == "garden"
    assert dataset.class_space.classes == ("grass", "stone", "water")
    assert dataset.class_space.colours[1] == (120, 120, 120)
    assert dataset.names[0] == "north/01_photo"
    ids = formats.some_ids(1, (0, 10, 20, 30))
    np.testing.assert_array_equal(dataset.label(0), np.select([ids == 10, ids == 20, ids == 30], [0, 1, 2], VOID))


def test_without_ids_positions_count(tmp_path: Path) -> None:
    formats.save_image(tmp_path / "images/a.png", height=1, width=4)
    formats.save(tmp_path / "labels/a.png", formats.grey(np.array([[0, 1, 255, 1]])))
    (tmp_path / "dataset.yaml").write_text("images: images\nlabels: labels\nclasses: [grass, stone]\n")
    dataset = open_dataset(f"folder:{tmp_path / 'dataset.yaml'}")
    assert dataset.label(0).tolist() == [[0, 1, VOID, 1]]
    assert dataset.class_space.name == tmp_path.name


def test_classes_and_ids_of_others(tmp_path: Path) -> None:
    formats.save_image(tmp_path / "images/a.png", height=1, width=3)
    formats.save(tmp_path / "labels/a.png", formats.grey(np.array([[7, 24, 0]])))
    (tmp_path / "dataset.yaml").write_text("images: images\nlabels: labels\nclasses: cityscapes-19\nids: cityscapes\n")
    spec = f"folder:{tmp_path / 'dataset.yaml'}"
    assert open_dataset(spec).label(0).tolist() == [[0, 11, VOID]]
    assert open_dataset(spec, class_space="cityscapes-16").label(0).tolist() == [[0, 10, VOID]]


def test_patterns_find_files_and_leave_others(tmp_path: Path) -> None:
    for name in ("one/left/a.png", "one/right/b.png", "two/left/c.png"):
        formats.save_image(tmp_path / "drives" / name)
    (tmp_path / "dataset.yaml").write_text("images: {train: drives/*/left/*.png}\nclasses: [road]\n")
    dataset = open_dataset(f"folder:{tmp_path / 'dataset.yaml'}")
    assert dataset.names == ["one/left/a", "two/left/c"]
    assert not dataset.has_labels


def test_classes_are_matched_by_name_in_another_class_space(tmp_path: Path) -> None:
    yaml = "images: images\nlabels: labels\nclasses: [car, road, grass]\n"
    formats.save_image(tmp_path / "images/a.png", height=1, width=3)
    formats.save(tmp_path / "labels/a.png", formats.grey(np.array([[0, 1, 2]])))
    spec = f"folder:{tmp_path / 'dataset.yaml'}"
    (tmp_path / "dataset.yaml").write_text(yaml)
    with pytest.raises(UserError, match=r"'grass' is not in the class space cityscapes-19.*may_be_void"):
        open_dataset(spec, class_space="cityscapes-19").label(0)
    (tmp_path / "dataset.yaml").write_text(yaml + "may_be_void: [grass]\n")
    assert open_dataset(spec, class_space="cityscapes-19").label(0).tolist() == [[13, 0, VOID]]
    # a class space read back from a checkpoint has no mappings at all
    bare = ClassSpace("cityscapes-19", class_space("cityscapes-19").classes, class_space("cityscapes-19").colours)
    assert open_dataset(spec, class_space=bare).label(0).tolist() == [[13, 0, VOID]]


def test_the_class_space_goes_by_the_sets_name(tmp_path: Path) -> None:
    spec = formats.write_folder(tmp_path)
    assert training_class_space("garden", spec) == default_class_space(spec)
    assert training_class_space("camvid-11", spec).name == "camvid-11"
    with pytest.raises(UserError, match="unknown class space 'gardn'; did you mean 'garden'"):
        training_class_space("gardn", spec)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("imagse: a\nclasses: [x]\n", r"the key 'images' is missing; unknown key 'imagse'; did you mean 'images'"),
        ("images: a\nlabels: b\n", "the key 'classes' is missing"),
        ("images: a\nclasses: [grass]\nids: {1: gras}\n", "ids: 1 is 'gras', .* did you mean 'grass'"),
        ("images: a\nclasses: [{name: x, color: [1, 2, 3]}]\n", "unknown key 'classes.0.color'; did you mean 'colour'"),
        ("images: a\nclasses: [x, x]\n", "a name appears twice"),
        ("images: a\nclasses: cityscapes-91\n", "unknown class space 'cityscapes-91'; did you mean 'cityscapes-19'"),
        ("images: a\nclasses: [x]\nmay_be_void: [y]\n", "may_be_void: 'y' is not among the classes"),
        ("images: a\nclasses: [x]\nids: {one: x}\n", "ids: 'one' is neither a number nor a colour"),
        ("[1, 2]\n", "must be a mapping"),
        ("a: [\n", "cannot be read as YAML"),
        ("images: a\nclasses: !!python/object/apply:os.getcwd []\n", "cannot be read as YAML"),
        ("images: nowhere\nclasses: [x]\n", r"images of split 'train' should be in .*nowhere, which is not there"),
    ],
)
def test_what_is_wrong_in_the_yaml_is_told(tmp_path: Path, yaml: str, message: str) -> None:
    (tmp_path / "dataset.yaml").write_text(yaml)
    with pytest.raises(UserError, match=message) as caught:
        open_dataset(f"folder:{tmp_path / 'dataset.yaml'}")
    assert "dataset.yaml" in str(caught.value)


def test_a_folder_instead_of_its_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder without a dataset.yaml"):
        open_dataset(f"folder:{tmp_path}")


def test_generated_colours_differ() -> None:
    assert len(set(distinct_colours(60))) == 60
    assert all(0 <= value <= 255 for colour in distinct_colours(60) for value in colour)


def test_a_key_with_a_bracket_is_unknown_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text("images: images\nclasses: [road]\nids[: x\n")
    with pytest.raises(UserError, match=r"unknown key 'ids\['; did you mean 'ids'"):
        read_description(path)
