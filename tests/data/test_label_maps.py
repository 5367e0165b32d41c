"""Lists of classes that labelling programs export, and the layouts they come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.data.check import check
from acclimate.data.readers.label_maps import read_label_map
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError

CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\ncar:0,0,142::\n"


def write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_cvat(folder: Path) -> None:
    """CVAT's "Segmentation mask 1.1": VOC's folders, masks in colours, a list of names, labelmap.txt."""
    for name in ("a", "b"):
        write_picture(folder / f"JPEGImages/{name}.png", np.zeros((3, 4, 3)))
        mask = np.zeros((3, 4, 3))
        mask[0], mask[1] = (128, 64, 128), (0, 0, 142)
        write_picture(folder / f"SegmentationClass/{name}.png", mask)
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    (folder / "ImageSets/Segmentation/default.txt").write_text("b\n")
    (folder / "labelmap.txt").write_text(CVAT)


def test_cvats_masks_need_no_colour_written(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    (tmp_path / "dataset.yaml").write_text(
        "images: {train: {folder: JPEGImages, list: ImageSets/Segmentation/default.txt}}\n"
        "labels: {train: SegmentationClass}\nclasses: labelmap.txt\nids: labelmap.txt\n"
    )
    dataset = open_dataset(f"folder:{tmp_path}")
    assert dataset.names == ["b"]
    assert dataset.class_space.classes == ("road", "car")
    assert dataset.class_space.colours == ((128, 64, 128), (0, 0, 142))
    assert dataset.label(0)[:, 0].tolist() == [0, 1, 255]
    assert check(f"folder:{tmp_path}").problems == []


def test_cvats_camvid_lists_name_pictures_with_their_folder(tmp_path: Path) -> None:
    """CVAT's "CamVid 1.0": default.txt of lines "/default/a.png /defaultannot/a.png", label_colors.txt."""
    for folder, shape in (("default", (3, 4, 3)), ("defaultannot", (3, 4, 3))):
        for name in ("a", "b"):
            write_picture(tmp_path / folder / f"{name}.png", np.full(shape, (0, 0, 142) if "annot" in folder else 9))
    (tmp_path / "default.txt").write_text("/default/a.png /defaultannot/a.png\n")
    (tmp_path / "label_colors.txt").write_text("0 0 0 background\n0 0 142 car\n128 64 128 road\n")
    (tmp_path / "dataset.yaml").write_text(
        "images: {train: {folder: default, list: default.txt}}\nlabels: {train: defaultannot}\n"
        "classes: [road, car]\nids: label_colors.txt\n"
    )
    dataset = open_dataset(f"folder:{tmp_path}")
    assert dataset.names == ["a"]
    assert (dataset.label(0) == 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road:128,64\n", "line 1: 'road:128,64' is neither 'name:r,g,b' nor 'r g b name'"),
        ("road:128,64,300::\n", "line 1: .* is neither"),
        ("a:1,2,3::\na:3,2,1::\n", "lists 'a' twice"),
        ("# nothing\n", "lists no class"),
    ],
)
def test_lists_that_are_none_are_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_label_map(tmp_path / "labelmap.txt")
    with pytest.raises(UserError, match="there is no list of classes"):
        read_label_map(tmp_path / "labelmaps.txt")


def test_names_that_differ_from_the_classes_are_told(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    yaml = "images: JPEGImages\nlabels: SegmentationClass\nclasses: [street, car]\nids: labelmap.txt\n"
    (tmp_path / "dataset.yaml").write_text(yaml)
    with pytest.raises(UserError, match="ids: #804080 is 'road', which is not among the classes"):
        open_dataset(f"folder:{tmp_path}")


def test_what_nobody_declared_is_told_ready_to_paste(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    yaml = (
        'images: JPEGImages\nlabels: SegmentationClass\nclasses: [road, car]\nids: {"#804080": road, "#000000": void}\n'
    )
    (tmp_path / "dataset.yaml").write_text(yaml)
    report = check(f"folder:{tmp_path}")
    assert report.pasted[0] == (
        f"in {tmp_path}/dataset.yaml, paste these under ids, with a class in the place of void where there is one:"
    )
    assert report.pasted[1:] == ["ids:", '  "#00008e": void  # 33 % of all pixels, 2 labels, such as a.png']
    (tmp_path / "dataset.yaml").write_text(
        yaml[:-1].replace("}", ", " + report.pasted[2].split("  #")[0].strip() + "}\n")
    )
    assert check(f"folder:{tmp_path}").problems == []
    # where no ids are listed, the ones that counted are repeated: pasting must not lose them
    for name in ("a", "b"):
        write_picture(tmp_path / f"ids/{name}.png", np.full((3, 4), 7 if name == "a" else 1))
    (tmp_path / "dataset.yaml").write_text("images: JPEGImages\nlabels: ids\nclasses: [road, car]\n")
    report = check(f"folder:{tmp_path}")
    assert report.pasted[1:] == [
        "ids:", "  0: road", "  1: car", "  255: void", "  7: void  # 50 % of all pixels, 1 label, such as a.png",
    ]  # fmt: skip
    with open(tmp_path / "dataset.yaml", "a") as stream:
        stream.write("\n".join(report.pasted[1:]) + "\n")
    assert check(f"folder:{tmp_path}").problems == []
    assert set(np.unique(open_dataset(f"folder:{tmp_path}").label(1))) == {1}
