"""Classes that no label shows, sets without any, and values nobody declared: told by check, stats and run."""

from __future__ import annotations

import logging
from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.check import check
from acclimate.data.registry import open_dataset
from acclimate.data.seen_classes import FIRST_LOOK, first_look
from acclimate.data.stats import stats
from acclimate.errors import UserError

YAML = "images: images\nlabels: labels\nclasses: [grass, stone, water]\n"


def masks(folder: Path, *labels: formats.Ids, yaml: str = YAML) -> str:
    """Grey labels of these ids with pictures of their size."""
    for number, ids in enumerate(labels):
        formats.save_image(folder / f"images/{number:03d}.png", height=ids.shape[0], width=ids.shape[1])
        formats.save(folder / f"labels/{number:03d}.png", formats.grey(ids))
    (folder / "dataset.yaml").write_text(yaml)
    return f"folder:{folder}"


def test_masks_of_0_and_255_are_told_everywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    half = np.repeat([[0, 255]], 4, axis=0)
    spec = masks(tmp_path, half, half)
    expected = [
        f"{spec} (train): 50 % of the pixels are void, which 255 is unless ids says otherwise",
        f"{spec} (train): no label shows a pixel of 'stone', 'water'",
    ]
    assert check(spec).notes == expected
    assert [line.removeprefix("note: ") for line in stats(open_dataset(spec)).table().splitlines()[-2:]] == expected
    with caplog.at_level(logging.WARNING):
        first_look(open_dataset(spec), tolerant=False)
    assert caplog.messages == expected
    said = masks(tmp_path, half, yaml=YAML + "ids: {0: grass, 1: stone, 2: water, 255: void}\n")
    assert check(said).notes == expected[1:]


def test_a_class_that_no_id_means_is_told(tmp_path: Path) -> None:
    spec = masks(tmp_path, np.array([[0, 1]]), yaml=YAML + "ids: {0: grass, 1: stone}\n")
    assert check(spec).notes == [f"{spec} (train): nothing in its labels can mean 'water': no id or colour maps there"]


@pytest.mark.parametrize("reader", sorted(set(formats.WRITERS) - {"synthia"}))
def test_a_set_of_nothing_but_void_is_refused_everywhere(reader: str, tmp_path: Path) -> None:
    spec = formats.WRITERS[reader](tmp_path)
    void = {"camvid": 11, "carla": 3, "idd-lite": 255, "mapillary": 65, "mapillary-2": 123}.get(reader, 0)
    for path in formats.label_files(tmp_path):
        ids = np.full((formats.HEIGHT, formats.WIDTH), void)
        formats.save(path, formats.red(ids) if reader == "carla" else formats.grey(ids))
    split = "all" if reader == "carla" else "train"
    words = "no label holds a pixel of a class, all of them are void"
    assert any(words in problem for problem in check(spec, split=split).problems)
    with pytest.raises(UserError, match=words):
        stats(open_dataset(spec, split=split))
    with pytest.raises(UserError, match=words):
        first_look(open_dataset(spec, split=split), tolerant=False)


def test_one_pixel_in_the_last_of_many_labels_is_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    void, one = np.full((2, 2), 255), np.array([[255, 255], [255, 1]])
    labels = [void] * (FIRST_LOOK + 40)
    labels[7] = one  # not among those that are looked at first
    spec = masks(tmp_path, *labels)
    with caplog.at_level(logging.WARNING):
        first_look(open_dataset(spec), tolerant=False)
    assert any("labels looked at shows a pixel of 'grass', 'water'" in message for message in caplog.messages)
    assert check(spec).problems == []


def test_each_undeclared_value_is_told_once_and_ready_to_paste(tmp_path: Path) -> None:
    spec = masks(
        tmp_path, np.array([[0, 7, 7, 1]]), np.array([[7, 2, 0, 9]]), np.array([[0, 1, 2, 0]]), np.array([[7] * 4])
    )
    problems = check(spec).problems
    assert len(problems) == 2
    assert problems[0].startswith(
        f"{tmp_path / 'labels/000.png'} holds the class id 7, as do 2 other labels (44 % of all pixels), which"
    )
    assert problems[1].startswith(f"{tmp_path / 'labels/001.png'} holds the class id 9 (6.2 % of all pixels), which")
    lines = check(spec).summary().splitlines()
    assert [line.partition("  #")[0] for line in lines[lines.index("ids:") + 4 :]][:3] == [
        "  255: void",
        "  7: void",
        "  9: void",
    ]


def test_thousands_of_undeclared_colours_are_told_in_twenty_lines(tmp_path: Path) -> None:
    formats.save_image(tmp_path / "images/a.png", height=100, width=200)
    formats.save_image(tmp_path / "labels/a.png", 1, height=100, width=200)
    (tmp_path / "dataset.yaml").write_text(YAML + 'ids: {"#000001": grass, "#000002": stone, "#000003": water}\n')
    report = check(f"folder:{tmp_path}")
    problems = report.problems
    assert report.pasted == [f"in {tmp_path}/dataset.yaml, to make all of them void:", "others: void"]
    assert len(problems) == 21
    assert problems[20].startswith("more than 9980 other colours are not defined either, all of them rarer")
