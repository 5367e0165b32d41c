"""Checks and statistics of sets with boxes: every mistake is told with its file, and counts are those of the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from acclimate.cli.data import check_command, stats_command
from acclimate.detection.check import check_boxes
from acclimate.detection.registry import open_boxes
from acclimate.detection.stats import box_stats
from acclimate.errors import UserError
from acclimate.tasks import task_of_data


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def coco(root: Path) -> Path:
    """Four pictures; the second holds nothing, the third is damaged, the fourth is missing."""
    boxes = [
        (1, 1, [2, 3, 10, 20], 0),
        (1, 1, [20, 3, 40, 20], 0),
        (1, 2, [5, 5, 0, 4], 0),
        (3, 1, [0, 0, 4, 9], 1),
        (4, 1, [0, 0, 4, 9], 0),
    ]
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in (1, 2, 3, 4)],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd}
            for number, (image, category, box, crowd) in enumerate(boxes)
        ],
    }
    picture(root / "images/train/1.png")
    picture(root / "images/train/2.png", (20, 20))
    (root / "images/train/3.png").write_bytes(b"no picture")
    (root / "annotations").mkdir()
    (root / "annotations/train.json").write_text(json.dumps(content))
    return root


def test_every_problem_is_told_with_its_file(tmp_path: Path) -> None:
    report = check_boxes(f"coco:{coco(tmp_path)}")
    where = f"{tmp_path}/annotations/train.json: 1 has a box"
    assert report.problems[0] == "there is no image 4.png in images/train/, images/ or train/"
    assert report.problems[1] == f"{where} without width or height, which would be left out: dog at 5, 5, 5, 9"
    assert report.problems[2] == f"{where} beyond its 40x30 pixels: car at 20, 3, 60, 23"
    assert report.problems[3].startswith(f"{tmp_path}/images/train/3.png")
    assert len(report.problems) == 4
    assert report.notes == [
        "split train: 1 of 3 images hold no object",
        "split train: 1 boxes are difficult: neither trained on nor scored",
        "split train holds no cat",
    ]
    assert f"coco:{tmp_path} train: 3 images, 4 boxes" in report.summary()
    with pytest.raises(UserError, match=r"there is no image 4\.png"):
        open_boxes(f"coco:{tmp_path}")


def test_a_broken_annotation_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\nb\nc\n")
    (tmp_path / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>99</ymax></bndbox>"
    for name, text in (
        ("a", "<annotation>"),
        ("b", f"<annotation><object><name>car</name>{box}</object></annotation>"),
    ):
        picture(tmp_path / f"JPEGImages/{name}.png")
        (tmp_path / f"Annotations/{name}.xml").write_text(text)
    picture(tmp_path / "JPEGImages/c.png")
    problems = check_boxes(f"voc:{tmp_path}").problems
    # a set of which one picture has no annotation is no source, but the others are looked at
    assert [Path(each.split()[0].strip(":")).name for each in problems] == ["a.xml", "b.xml", "c.png"]


def test_yolo_names_the_line_of_an_unknown_class(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5\n3 0.5 0.5 0.5 0.5\n")
    (tmp_path / "classes.txt").write_text("car\ndog\n")
    (problem, nothing) = check_boxes(f"yolo:{tmp_path}").problems
    assert "a.txt, line 2" in problem
    assert "class from 0 to 1" in problem
    assert nothing == "split train: none of its 1 images holds an object"


def test_statistics_are_those_of_the_boxes(tmp_path: Path) -> None:
    root = coco(tmp_path)
    content = json.loads((root / "annotations/train.json").read_text())
    content["images"] = content["images"][:2]
    content["annotations"] = content["annotations"][:3]
    (root / "annotations/train.json").write_text(json.dumps(content))
    found = box_stats(open_boxes(f"coco:{root}"))
    assert (found.images, found.empty, found.image_sizes) == (2, 1, {"40x30": 1, "20x20": 1})
    # 10 x 20 and 40 x 20: medians 25 x 20, sides 14.1 and 28.3
    assert found.classes["car"].row() == ["2", "0", "1", "25x20", "21", "16 to 27"]
    assert found.classes["dog"].row() == ["0", "0", "0", "–", "–", "–"]


def test_the_kind_says_what_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert [task_of_data(f"{kind}:/x") for kind in ("coco", "voc", "yolo", "foggy-cityscapes")] == ["detection"] * 4
    assert [task_of_data(f"{kind}:/x") for kind in ("scenes", "cityscapes", "nothing")] == ["segmentation"] * 3
    stats_command("scenes:fog,images=2,size=128x64", task="detection")
    check_command("scenes:fog,images=2,size=128x64", split="val", task="detection")
    out = capsys.readouterr().out
    assert "width x height" in out
    assert "scenes:fog,images=2,size=128x64 val: 2 images," in out
    with pytest.raises(UserError, match="--class-space is about label maps"):
        check_command("coco:/x", class_space="scenes")
    with pytest.raises(UserError, match="unknown task"):
        check_command("coco:/x", task="boxes")
    with pytest.raises(UserError, match="there is no folder /x"):
        check_command("coco:/x")
