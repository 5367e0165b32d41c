"""Pseudo-label folders: names, continuing, and that nothing unfinished is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.errors import UserError
from acclimate.pseudo.store import PseudoLabelFolder, label_path, pseudo_label_manifest, read_manifest
from acclimate.pseudo.thresholds import Kept, Selection, Thresholds


def manifest() -> dict[str, object]:
    return pseudo_label_manifest(
        classes=["road", "train"],
        selection=Selection(confidence="softmax"),
        thresholds=Thresholds("softmax", False, (0.25, 0.5)),
        kept=Kept([8, 0], [6.0, 0.0]),
        checkpoint="abc",
        data={"spec": "camvid:x", "split": "train", "fingerprint": "f"},
        images=2,
    )


def test_labels_are_8_bit_pngs_and_colliding_names_stay_apart(tmp_path: Path) -> None:
    folder = PseudoLabelFolder(tmp_path / "out", identity="a")
    first = np.array([[0, 1], [255, 18]], dtype=np.uint8)
    folder.write("aachen/000", first)
    folder.write("bochum/000", first.T.copy())
    assert folder.has("aachen/000")
    assert not folder.has("aachen/001")
    with Image.open(tmp_path / "out/labels/aachen/000.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), first)
    with Image.open(tmp_path / "out/labels/bochum/000.png") as picture:
        assert np.array_equal(np.asarray(picture), first.T)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "", "a//b", "a/./b", "a\\..\\b", "C:/x", "a/", "a\0b"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot become a file"):
        label_path(tmp_path, name)


def test_links_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out/labels").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/labels/city").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="leads out"):
        label_path(tmp_path / "out", "city/000")


def test_names_with_dots_keep_them(tmp_path: Path) -> None:
    assert label_path(tmp_path, "a.b/c.d") == tmp_path / "labels/a.b/c.d.png"


def test_an_unfinished_folder_is_not_read_and_can_be_continued(tmp_path: Path) -> None:
    folder = PseudoLabelFolder(tmp_path, identity="a")
    folder.write("x", np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(UserError, match="same `acclimate label` command again"):
        read_manifest(tmp_path)
    again = PseudoLabelFolder(tmp_path, identity="a")
    assert again.has("x")
    assert not again.finished
    again.finish(manifest())
    assert again.finished
    assert read_manifest(tmp_path)["kept"] == [0.75, None]


def test_another_selection_does_not_mix_its_labels_in(tmp_path: Path) -> None:
    PseudoLabelFolder(tmp_path, identity="a")
    with pytest.raises(UserError, match="another checkpoint, data set or selection"):
        PseudoLabelFolder(tmp_path, identity="b")


def test_labels_of_unknown_origin_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    with pytest.raises(UserError, match="where they come from"):
        PseudoLabelFolder(tmp_path, identity="a")


def test_the_manifest_in_json(tmp_path: Path) -> None:
    content = json.loads(json.dumps(manifest(), allow_nan=False))
    assert content["thresholds"] == [0.75, None]
    assert content["kept_overall"] == 0.75
    assert content["selected_pixels"] == [6, 0]
    assert content["selection"]["confidence"] == "softmax"
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(UserError, match=r"manifest\.json is damaged or of another program"):
        read_manifest(tmp_path)
