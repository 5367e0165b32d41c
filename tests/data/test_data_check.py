from __future__ import annotations

from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.check import check
from acclimate.errors import UserError


@pytest.mark.parametrize("kind", sorted(formats.WRITERS))
def test_a_sound_set_has_no_problems(kind: str, tmp_path: Path) -> None:
    report = check(formats.WRITERS[kind](tmp_path))
    assert report.problems == []
    assert report.notes == []
    assert sum(report.images.values()) == sum(count or 0 for count in report.labels.values()) > 0
    assert report.sizes == {"20x12": sum(report.images.values())}
    assert "no problems" in report.summary()


def test_all_problems_come_at_once_with_their_files(tmp_path: Path) -> None:
    spec = formats.write_camvid(tmp_path, images=8)
    train, labels = tmp_path / "train", tmp_path / "trainannot"
    (train / "0001TP_000000.jpg").write_bytes(b"broken")
    (labels / "0001TP_000001.png").unlink()
    formats.save(labels / "orphan.png", formats.grey(np.zeros((12, 20), dtype=int)))
    formats.save(labels / "0001TP_000002.png", formats.grey(np.full((12, 20), 99)))
    formats.save(labels / "0001TP_000003.png", formats.grey(np.zeros((5, 5), dtype=int)))
    formats.save(labels / "0001TP_000004.png", formats.red(np.zeros((12, 20), dtype=int)))
    formats.save_image(train / "0001TP_000005.png")
    formats.save_image(train / "0001tp_000006.jpg")
    formats.save(labels / "0001tp_000006.png", formats.grey(np.zeros((12, 20), dtype=int)))
    report = check(spec)
    for file, words in [
        ("0001TP_000000.jpg", "cannot be read as an image"),
        ("0001TP_000001.jpg", "has no label"),
        ("orphan.png", "is a label without an image"),
        ("0001TP_000002.png", "holds the class id 99"),
        ("0001TP_000003.png", "is 5x5 but its image"),
        ("0001TP_000004.png", "is a colour picture (mode RGB)"),
        ("0001TP_000005.png", "differ only in suffix"),
        ("0001tp_000006.jpg", "differ only in case"),
    ]:
        assert sum(file in problem and words in problem for problem in report.problems) == 1, (file, words)
    assert len(report.problems) == 8
    assert report.images == {"train": 9, "val": 8}
    assert report.labels == {"train": 8, "val": 8}
    assert report.summary().count("problem: ") == 8


def test_labels_that_are_resized_are_counted(tmp_path: Path) -> None:
    report = check(formats.write_gta5(tmp_path, images=3, labels={"00002": np.full((10, 18), 7)}))
    assert report.problems == []
    assert len(report.notes) == 1
    assert "1 labels differ in size" in report.notes[0]
    assert "00002" in report.notes[0]


def test_a_set_without_labels_is_noted(tmp_path: Path) -> None:
    report = check(formats.write_camvid(tmp_path, labels=False), split="train")
    assert report.problems == []
    assert report.labels == {"train": None}
    assert "split train has no labels" in report.notes[0]


def test_a_class_space_that_does_not_fit_is_one_problem(tmp_path: Path) -> None:
    report = check(formats.write_camvid(tmp_path), split="train", class_space="cityscapes-19")
    assert len(report.problems) == 1
    assert "no mapping of camvid labels" in report.problems[0]


def test_an_empty_split_is_a_problem_and_nothing_at_all_an_error(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert "holds no images" in check(f"camvid:{tmp_path}").problems[0]
    with pytest.raises(UserError, match="there is no"):
        check(f"camvid:{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="not laid out as gta5"):
        check(f"gta5:{tmp_path}")
