from __future__ import annotations

from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import class_space
from acclimate.data.readers.class_colours import colours_of, distinct_colours
from acclimate.data.readers.description import read_description
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
        ("imagse: a\nclasses: [x]\n", r"unknown key 'imagse'; did you mean 'images'.*; the key 'images' is missing"),
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
    # usual names have their usual colours, others none that looks like one of these
    own = {"gravel": (1, 2, 3)}
    road, gravel, tree, puddle, twin = colours_of(["Road", "gravel", "tree", "puddle", "vegetation"], own)
    assert (road, gravel, tree) == ((128, 64, 128), (1, 2, 3), (107, 142, 35))
    for other in (puddle, twin):
        assert min(max(abs(a - b) for a, b in zip(other, known, strict=True)) for known in (road, gravel, tree)) > 40
    assert len(set(colours_of([f"class {number}" for number in range(250)], {}))) > 200
    assert all(0 <= value <= 255 for colour in distinct_colours(60) for value in colour)


def test_a_key_with_a_bracket_is_unknown_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text("images: images\nclasses: [road]\nids[: x\n")
    with pytest.raises(UserError, match=r"unknown key 'ids\['; did you mean 'ids'"):
        read_description(path)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("classes: [yes, no, on, off]", 'classes: YAML reads yes, no, on and off as true and false; put such .*"yes"'),
        ("classes: [{name: off}]", "classes: YAML reads yes, no"),
        ("classes: [1, 2]", "a class name that looks like a number needs quotes"),
        ("classes: [road, null]", "an entry is empty"),
        ("classes: [road]\nids: {road: 0}", r"ids: numbers come first: write \{0: road, ...\}"),
        ("classes: [road]\nids: {0: yes}", "ids: YAML reads yes"),
        ("classes: [road]\nids: {-1: void}", "ids: -1 cannot occur .* 8-bit files hold -1 as 255"),
        ("classes: [road]\nids: {70000: void}", "ids: 70000 cannot occur"),
        ("classes: [road]\nids: {1:30: void}", "ids: '1:30' is neither a number nor a colour"),
        ("classes: [road]\nids: {010: road}", "ids: '010' is neither a number nor a colour"),
        ("classes: [road]\nids: {#804080: road}", 'a colour needs quotes, "#804080"'),
        ("classes: [road]\nids:\n  #804080: road\n", 'ids is empty; .*a colour needs quotes, "#804080"'),
        ("classes:\n  - {name: road, colour: #804080}\n", 'a colour needs quotes, "#804080"'),
        ("classes:\n  - name: road\n    colour: #804080\n", "classes.0: colour is empty.*a colour needs quotes"),
        (
            "classes: [{name: a, colour: [1, 2, 300]}]",
            "classes.0.colour: a colour is red, green and blue from 0 to 255$",
        ),
        ("classes: [{name: a, colour: [1, -2, 3]}]", "a colour is red, green and blue from 0 to 255$"),
        (
            "classes: [{name: a, colour: [1, 2, 3]}, {name: b, colour: '#010203'}]",
            "'a' and 'b' have the same colour #010203",
        ),
        ('classes: [a, b]\nids: {"#00008E": a, "#00008e": b}', "ids: #00008E and #00008e are the same colour"),
        ('classes: ["a\\e[31m"]', r"'a.x1b.31m' is no name"),
        ('classes: ["  "]', "is no name"),
        ('classes: [a]\nlabel_name: {"": _mask}', 'there is nothing to replace in ""; to append something'),
        ("classes: [a]\nlabel_name: _mask", "a pattern holds {name} or {file}"),
        ("labels: b", "the key 'classes' is missing"),
        ("ids: {1: a}", "the key 'classes' is missing"),
        ("classes: []", "name at least one class"),
        ("classes: [a]\nothers: ignore", "others must be 'error' or 'void'"),
        ("classes: [a]\nclasses: [b]", "the key 'classes' is given in line 2 and in line 3"),
    ],
)
def test_mistakes_are_told_in_words_before_anything_is_read(tmp_path: Path, yaml: str, message: str) -> None:
    (tmp_path / "dataset.yaml").write_text(f"images: images\n{yaml}\n")
    with pytest.raises(UserError, match=message) as caught:
        read_description(tmp_path / "dataset.yaml")
    assert "Input should be a valid" not in str(caught.value)


def test_a_colour_may_be_written_in_hex(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text('images: i\nclasses: [{name: road, colour: "#804Ab0"}]\n')
    assert default_class_space(f"folder:{tmp_path}").colours == ((128, 74, 176),)


def test_a_folder_stands_for_the_yaml_in_it(tmp_path: Path) -> None:
    spec = formats.write_folder(tmp_path)
    short = f"folder:{tmp_path}"
    assert list(open_dataset(short).names) == list(open_dataset(spec).names)
    assert open_dataset(short).fingerprint() == open_dataset(spec).fingerprint()
    assert default_class_space(short) == default_class_space(spec)
