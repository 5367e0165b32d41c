"""Boxes from annotations of every format, exact on tiny files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.detection.classes import CITYSCAPES_THINGS
from acclimate.detection.readers.cityscapes import boxes_of_instances, boxes_of_polygons
from acclimate.detection.registry import open_boxes
from acclimate.errors import UserError

CITY = "aachen/aachen_000000_000019"


def picture(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def instances() -> np.ndarray:
    """8 x 12: a car of two parts (it is partly hidden), a person of one pixel, a group of cars, road."""
    ids = np.full((8, 12), 7, dtype=np.uint16)
    ids[2:4, 1:3] = 26001
    ids[3:6, 6:9] = 26001
    ids[7, 11] = 24000
    ids[0:2, 0:12] = 26
    ids[5, 0] = 33002
    return ids


def cityscapes(root: Path, *, foggy: bool = False) -> Path:
    if foggy:
        for beta in ("0.005", "0.01", "0.02"):
            picture(root / f"leftImg8bit_foggy/train/{CITY}_leftImg8bit_foggy_beta_{beta}.png")
    else:
        picture(root / f"leftImg8bit/train/{CITY}_leftImg8bit.png")
    path = root / f"gtFine/train/{CITY}_gtFine_instanceIds.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(instances()).save(path)
    content = {
        "imgWidth": 12,
        "imgHeight": 8,
        "objects": [
            {"label": "road", "polygon": [[0, 0], [11, 0], [11, 7]]},
            {"label": "car", "polygon": [[1, 2], [8, 2], [8, 5], [1, 5]]},
            {"label": "cargroup", "polygon": [[0, 0], [11, 0], [11, 1]]},
            {"label": "person", "polygon": [[10, 6], [14, 6], [14, 9]]},
            {"label": "bus", "polygon": [[1, 1], [2, 2], [3, 1]], "deleted": 1},
        ],
    }
    (root / f"gtFine/train/{CITY}_gtFine_polygons.json").write_text(json.dumps(content))
    return root


def test_boxes_of_instances_are_tight_and_groups_have_none() -> None:
    found = [(each.name, each.x0, each.y0, each.x1, each.y1) for each in boxes_of_instances(instances())]
    assert found == [("person", 11, 7, 12, 8), ("car", 1, 2, 9, 6), ("bicycle", 0, 5, 1, 6)]
    assert boxes_of_instances(np.full((3, 3), 26, dtype=np.uint16)) == []


def test_cityscapes_takes_instances_and_polygons_on_request(tmp_path: Path) -> None:
    root = cityscapes(tmp_path)
    boxes = open_boxes(f"cityscapes:{root}").boxes(0)
    assert [CITYSCAPES_THINGS.classes[place] for place in boxes.classes.tolist()] == ["person", "car", "bicycle"]
    assert boxes.corners[1].tolist() == [1, 2, 9, 6]
    polygons = open_boxes(f"cityscapes:{root},annotations=polygons").boxes(0)
    # the person reaches out of the 12 x 8 picture and is clipped; the group and the deleted bus are left out
    assert polygons.classes.tolist() == [2, 0]
    assert polygons.corners.tolist() == [[1, 2, 9, 6], [10, 6, 12, 8]]


def test_a_broken_polygon_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"here\.json"):
        boxes_of_polygons({"imgWidth": 3}, where="here.json")
    root = cityscapes(tmp_path)
    (root / f"gtFine/train/{CITY}_gtFine_polygons.json").write_text("{")
    with pytest.raises(UserError, match=r"_gtFine_polygons\.json"):
        open_boxes(f"cityscapes:{root},annotations=polygons").boxes(0)


def test_foggy_cityscapes_reads_the_chosen_beta(tmp_path: Path) -> None:
    root = cityscapes(tmp_path / "a", foggy=True)
    assert list(open_boxes(f"foggy-cityscapes:{root}").names) == [f"{CITY}_leftImg8bit_foggy_beta_0.02"]
    one = open_boxes(f"foggy-cityscapes:{root},beta=0.005")
    assert list(one.names) == [f"{CITY}_leftImg8bit_foggy_beta_0.005"]
    assert one.boxes(0).corners[1].tolist() == [1, 2, 9, 6]
    every = open_boxes(f"foggy-cityscapes:{root},beta=all")
    assert len(every) == 3
    assert one.fingerprint() != every.fingerprint()
    with pytest.raises(UserError, match=r"0\.005, 0\.01, 0\.02"):
        open_boxes(f"foggy-cityscapes:{root},beta=0.03")
    with pytest.raises(UserError, match="beta"):
        open_boxes(f"foggy-cityscapes:{root},betta=0.01")


def test_ground_truth_may_lie_elsewhere_or_nowhere(tmp_path: Path) -> None:
    clear, fog = cityscapes(tmp_path / "clear"), tmp_path / "fog"
    picture(fog / f"leftImg8bit_foggy/train/{CITY}_leftImg8bit_foggy_beta_0.02.png")
    without = open_boxes(f"foggy-cityscapes:{fog}")
    assert not without.has_labels
    with pytest.raises(UserError, match="no boxes"):
        without.boxes(0)
    assert len(open_boxes(f"foggy-cityscapes:{fog},ground_truth={clear}").boxes(0)) == 3


def coco(root: Path) -> Path:
    for name in ("a.jpg", "b.jpg"):
        picture(root / "images/train" / name)
    content = {
        "images": [{"id": 7, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}],
        "categories": [{"id": 5, "name": "car"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 5, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 2, "bbox": [0, 0, 2, 2], "iscrowd": 1},
            {"id": 3, "image_id": 9, "category_id": 2, "bbox": [0, 0, 0, 2]},
        ],
    }
    path = root / "annotations/train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return root


def test_coco(tmp_path: Path) -> None:
    data = open_boxes(f"coco:{coco(tmp_path)}")
    assert list(data.names) == ["a", "b"]
    assert data.class_space.classes == ("dog", "car")
    boxes = data.boxes(0)
    assert boxes.corners.tolist() == [[1, 2, 4.5, 6], [0, 0, 2, 2]]
    assert boxes.classes.tolist() == [1, 0]
    assert boxes.difficult.tolist() == [False, True]
    assert len(data.boxes(1)) == 0
    # in the classes of another set only those of the same name count
    things = open_boxes(f"coco:{tmp_path}", class_space=CITYSCAPES_THINGS)
    assert things.boxes(0).classes.tolist() == [2]


def test_coco_images_outside_the_folder_are_refused(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    picture(tmp_path / "secret.jpg")
    path = root / "annotations/train.json"
    path.write_text(path.read_text().replace("a.jpg", "../../../secret.jpg"))
    with pytest.raises(UserError, match="no image"):
        open_boxes(f"coco:{root}")


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/000001.jpg")
    xml = """<annotation><object><name>car</name><difficult>1</difficult>
      <bndbox><xmin>2</xmin><ymin>1</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>
      <object><name>bus</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>12</xmax><ymax>8</ymax></bndbox></object>
    </annotation>"""
    for folder in ("Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "Annotations/000001.xml").write_text(xml)
    (tmp_path / "ImageSets/Main/train.txt").write_text("000001\n")
    (tmp_path / "ImageSets/Main/car_train.txt").write_text("000001 1\n")
    data = open_boxes(f"voc:{tmp_path}")
    assert data.class_space.classes == ("bus", "car")
    boxes = data.boxes(0)
    assert boxes.corners.tolist() == [[1, 0, 9, 8], [0, 0, 12, 8]]
    assert boxes.difficult.tolist() == [True, False]
    with pytest.raises(UserError, match="split"):
        open_boxes(f"voc:{tmp_path}", split="car_train")
    (tmp_path / "Annotations/000001.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    with pytest.raises(UserError, match=r"000001\.xml"):
        open_boxes(f"voc:{tmp_path}")


def yolo(root: Path, *, exported: bool = False) -> Path:
    pictures, texts = ("train/images", "train/labels") if exported else ("images/train", "labels/train")
    for name in ("a", "b", "c"):
        picture(root / pictures / f"{name}.jpg")
    (root / texts).mkdir(parents=True)
    # 12 x 8: a box of 3 x 4 around (4.5, 4); an outline; a box that reaches out by 0.6 pixels
    (root / texts / "a.txt").write_text("1 0.375 0.5 0.25 0.5\n\n0 0.5 0.25 0.75 0.25 0.75 0.5\n1 0.95 0.5 0.2 0.25\n")
    (root / texts / "b.txt").write_text("")
    if exported:
        (root / "data.yaml").write_text("names: [dog, car]\nnc: 2\ntrain: train/images\n")
    else:
        (root / "classes.txt").write_text("dog\ncar\n")
    return root


@pytest.mark.parametrize("exported", [False, True])
def test_yolo(tmp_path: Path, exported: bool) -> None:
    data = open_boxes(f"yolo:{yolo(tmp_path, exported=exported)}")
    assert list(data.names) == ["a", "b", "c"]
    assert data.has_labels
    assert data.class_space.classes == ("dog", "car")
    boxes = data.boxes(0)
    expected = torch.tensor([[3.0, 2.0, 6.0, 6.0], [6.0, 2.0, 9.0, 4.0], [10.2, 3.0, 12.0, 5.0]])
    torch.testing.assert_close(boxes.corners, expected)
    assert boxes.classes.tolist() == [1, 0, 1]
    assert [len(data.boxes(place)) for place in (1, 2)] == [0, 0]
    assert len(data.fingerprint()) > 8


def test_yolo_names_by_number_and_pictures_alone(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").write_text("names: {0: cat, 1: bus}\n")
    assert open_boxes(f"yolo:{root}").class_space.classes == ("cat", "bus")
    picture(root / "images/val/d.jpg")
    assert not open_boxes(f"yolo:{root}", split="val").has_labels


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 96 64 20 20", "no fractions"),
        ("7 0.5 0.5 0.1 0.1", "from 0 to 1"),
        ("car 0.5 0.5 0.1 0.1", r"a\.txt, line 1"),
        ("1 0.5 0.5 0.1", "3 numbers"),
        ("1 nan 0.5 0.1 0.1", "no fractions"),
    ],
)
def test_yolo_lines_that_are_no_object(tmp_path: Path, line: str, words: str) -> None:
    root = yolo(tmp_path)
    (root / "labels/train/a.txt").write_text(line)
    with pytest.raises(UserError, match=words):
        open_boxes(f"yolo:{root}").boxes(0)


@pytest.mark.parametrize("content", ["names: 3", "[]", "names: [1, 2]", "names: {a: b}"])
def test_yolo_names_that_are_none(tmp_path: Path, content: str) -> None:
    root = yolo(tmp_path)
    (root / "data.yaml").write_text(content)
    with pytest.raises(UserError, match=r"data\.yaml"):
        open_boxes(f"yolo:{root}")
    (root / "data.yaml").unlink()
    (root / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"none of data\.yaml"):
        open_boxes(f"yolo:{root}")


def test_no_common_class_is_an_error(tmp_path: Path) -> None:
    root = coco(tmp_path)
    path = root / "annotations/train.json"
    path.write_text(path.read_text().replace("car", "cat"))
    with pytest.raises(UserError, match="none of its classes"):
        open_boxes(f"coco:{root}", class_space=CITYSCAPES_THINGS)


def test_scenes_yield_the_tight_boxes_of_what_is_visible() -> None:
    data = open_boxes("scenes:camera,images=4,size=128x64,smallest=6")
    from acclimate.detection.readers.scenes import ScenesBoxes

    assert isinstance(data, ScenesBoxes)
    for index in range(4):
        rendering, boxes = data.scenes.rendering(index), data.boxes(index)
        numbers = [n for n in np.unique(rendering.instances).tolist() if n]
        expected = []
        for number in numbers:
            rows, columns = np.nonzero(rendering.instances == number)
            expected.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert boxes.corners.tolist() == expected
        sizes = boxes.corners[:, 2:] - boxes.corners[:, :2]
        assert torch.equal(boxes.difficult, (sizes[:, 1] < 6) | (sizes[:, 0] < 3))


def test_unknown_kinds_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="foggy-cityscapes"):
        open_boxes("foggy-cityscape:/x")
    with pytest.raises(UserError, match="no folder"):
        open_boxes(f"cityscapes:{tmp_path}/none")
    with pytest.raises(UserError, match="not laid out"):
        open_boxes(f"cityscapes:{tmp_path}")
