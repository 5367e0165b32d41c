"""A folder that nobody described gets a description that can be opened, with every id or colour it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acclimate.cli.init import init_command
from acclimate.data.check import check
from acclimate.data.drafting.draft import draft_of
from acclimate.data.drafting.names import VOC, _voc_colour, split_names
from acclimate.data.drafting.values import values_in
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.io.outputs import is_untouched_draft, signed_draft

CITYSCAPES = [[128, 64, 128], [70, 70, 70], [0, 0, 142]]


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def stripes(path: Path, values: list[Any]) -> None:
    """A label map of vertical stripes of ids or colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(
        np.repeat(np.array(values, dtype=np.uint8), 24 * 8, axis=0)
        .reshape(len(values), 24, 8, -1)
        .transpose(1, 0, 2, 3)
        .reshape(24, len(values) * 8, -1)
        .squeeze()
    ).save(path)


def labelled(root: Path, image: str, label: str, values: list[Any], *, width: int = 5) -> Path:
    """Two pictures of 40 pixels with labels of as many; ``{}`` in the names is the number."""
    for number in range(2):
        photo(root / image.format(number))
        stripes(root / label.format(number), (values * width)[:width])
    return root


def test_ids_in_folders_of_their_own(tmp_path: Path) -> None:
    root = labelled(tmp_path / "mine", "images/{}.jpg", "labels/{}.png", [7, 7, 40, 0, 255])
    draft = draft_of(root)
    assert draft.unsure == 3
    (root / "dataset.yaml").write_text(draft.text)
    dataset = open_dataset(f"folder:{root}")
    assert dataset.class_space.classes == ("class-0", "class-7", "class-40")
    assert np.unique(dataset.label(0)).tolist() == [0, 1, 2, 255]
    assert "7: class-7  # 40 % of the pixels, in 2 of 2 labels" in draft.text
    assert check(f"folder:{root}").problems == []


@pytest.mark.parametrize(
    ("image", "label", "rule"),
    [
        ("{}.jpg", "{}_mask.png", "{name}_mask"),
        ("rgb/{}.jpg", "rgb/{}_train_id.png", "{name}_train_id"),
        ("images/{}.jpg", "masks/{}.jpg.png", "{file}"),
        ("leftImg8bit/a_{}_leftImg8bit.png", "gtFine/a_{}_gtFine_labelIds.png", "_gtFine_labelIds"),
    ],
)
def test_labels_that_are_called_otherwise(tmp_path: Path, image: str, label: str, rule: str) -> None:
    root = labelled(tmp_path, image, label, [0, 1, 2])
    draft = draft_of(root)
    assert rule in draft.text
    (root / "dataset.yaml").write_text(draft.text)
    dataset = open_dataset(f"folder:{root}")
    assert len(dataset) == 2
    assert np.unique(dataset.label(1)).tolist() == [0, 1, 2]


def test_splits_of_any_spelling(tmp_path: Path) -> None:
    labelled(tmp_path, "train/{}.jpg", "trainannot/{}.png", [0, 1, 11])
    labelled(tmp_path, "val/{}.jpg", "valannot/{}.png", [0, 1, 11])
    photo(tmp_path / "test" / "7.jpg")
    draft = draft_of(tmp_path)
    (tmp_path / "dataset.yaml").write_text(draft.text)
    assert draft.unsure == 0
    assert open_dataset(f"folder:{tmp_path}", split="val").class_space.classes == ("sky", "building")
    assert not open_dataset(f"folder:{tmp_path}", split="test").has_labels


def test_colours_are_named_and_strange_ones_kept(tmp_path: Path) -> None:
    root = labelled(tmp_path, "photos/{}.jpg", "masks/{}.png", [*CITYSCAPES, [1, 2, 3], [0, 0, 0]])
    draft = draft_of(root)
    (root / "dataset.yaml").write_text(draft.text)
    dataset = open_dataset(f"folder:{root}")
    assert set(dataset.class_space.classes) == {"road", "building", "car", "colour-010203"}
    assert (dataset.label(0) == 255).mean() == 0.2
    assert draft.unsure == 1


def test_of_several_labels_of_a_picture_ids_are_taken(tmp_path: Path) -> None:
    root = labelled(tmp_path, "leftImg8bit/a_{}_leftImg8bit.png", "gtFine/a_{}_gtFine_labelIds.png", [7, 8, 11, 23, 26])
    for number in range(2):
        stripes(root / f"gtFine/a_{number}_gtFine_color.png", [*CITYSCAPES, [0, 0, 0], [0, 0, 0]])
        stripes(root / f"gtFine/a_{number}_gtFine_instanceIds.png", [7, 8, 9, 10, 11])
    draft = draft_of(root)
    assert "gtFine/*_gtFine_labelIds.png" in draft.text
    assert "road" in draft.text
    assert draft.unsure == 0


def test_pictures_alone_are_a_target(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / "drive" / f"{number}.jpg")
    draft = draft_of(tmp_path)
    assert not draft.labelled
    (tmp_path / "dataset.yaml").write_text(draft.text)
    assert len(open_dataset(f"folder:{tmp_path}")) == 3


def test_smoothed_masks_are_cut_to_their_common_colours(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "0.jpg")
    pixels = np.zeros((240, 400, 3), dtype=np.uint8)
    pixels[:, :200] = (128, 64, 128)
    pixels[0, :300] = np.stack([np.arange(300) % 256, np.arange(300) // 256, np.full(300, 9)], axis=1)
    (tmp_path / "masks_of_it").mkdir()
    Image.fromarray(pixels).save(tmp_path / "masks_of_it" / "0.png")
    values = values_in([tmp_path / "masks_of_it" / "0.png"])
    assert values.cut
    assert sorted(values.files) == [0, 0x804080]


def test_names_can_be_given_in_order(tmp_path: Path) -> None:
    root = labelled(tmp_path, "images/{}.jpg", "labels/{}.png", [3, 5, 255])
    assert "3: road " in draft_of(root, names=split_names("road, void")).text
    with pytest.raises(UserError, match=r"--classes names 1 classes, but the labels hold 2 values: 3, 5"):
        draft_of(root, names=["road"])
    with pytest.raises(UserError, match="different names"):
        split_names("road,road")


def test_a_list_of_names_in_the_folder_is_used(tmp_path: Path) -> None:
    root = labelled(tmp_path, "images/{}.jpg", "labels/{}.png", [0, 1, 2])
    (root / "classes.txt").write_text("road\nyes\nsky\n")
    draft = draft_of(root)
    assert draft.unsure == 0
    assert '1: "yes"' in draft.text


def test_voc_palette() -> None:
    assert _voc_colour(1 + VOC.index("person")) == 0xC08080
    assert _voc_colour(20) == 0x004080


# --- writing -----------------------------------------------------------------------------------------------------


def test_a_draft_is_replaced_until_it_is_changed(tmp_path: Path) -> None:
    root = labelled(tmp_path / "a", "images/{}.jpg", "labels/{}.png", [0, 1])
    init_command([root])
    init_command([root])
    path = root / "dataset.yaml"
    path.write_text(path.read_text().replace("class-1", "road"))
    with pytest.raises(UserError, match="not replaced"):
        init_command([root])
    assert "road" in path.read_text()


def test_a_foreign_description_is_never_replaced(tmp_path: Path) -> None:
    root = labelled(tmp_path / "a", "images/{}.jpg", "labels/{}.png", [0, 1])
    (root / "dataset.yaml").write_text("images: images\n")
    with pytest.raises(UserError, match="not replaced"):
        init_command([root])
    init_command([root], output=tmp_path / "elsewhere.yaml")
    assert len(open_dataset(f"folder:{tmp_path / 'elsewhere.yaml'}")) == 2


def test_signature_tells_any_change() -> None:
    text = signed_draft("# a\nkey: 1\n")
    assert is_untouched_draft(text)
    assert not is_untouched_draft(text + " ")
    assert not is_untouched_draft(text.replace("1\n", "2\n"))
