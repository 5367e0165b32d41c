"""Nothing that lies in the place of a file can keep acclimate waiting or fill its memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import socket
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import formats
import pytest
import yaml
from PIL import Image

from acclimate.data.check import check
from acclimate.data.readers.archives import Archives
from acclimate.data.readers.files import read_ids, read_image
from acclimate.data.readers.listing import found
from acclimate.data.readers.patterns import Pattern
from acclimate.data.readers.png16 import is_png_of_16_bits, read_first_channel
from acclimate.data.registry import open_dataset
from acclimate.detection.registry import open_boxes
from acclimate.errors import UserError
from acclimate.io.reading import bytes_of, json_of, text_of
from acclimate.io.yaml import MAX_NODES, load_yaml, read_yaml
from acclimate.recipe.load import load_recipe

SECONDS = 10
"""What takes longer than this hangs."""


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Ends a test that waits."""

    def late(*_: object) -> None:
        raise AssertionError(f"took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def no_file(path: Path, kind: str) -> None:
    """Puts something at ``path`` that never ends, or never begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        here = os.getcwd()
        os.chdir(path.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as endpoint:
            endpoint.bind(path.name)
        os.chdir(here)


KINDS = ["pipe", "device", "folder", "socket"]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_refuses_what_is_no_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    no_file(path, kind)
    for read in (read_image, read_ids, text_of, json_of, read_yaml, read_first_channel, lambda p: bytes_of(p, most=9)):
        with pytest.raises(UserError, match=r"a\.png is (a folder|a pipe, a socket or a device), not a file"):
            read(path)  # type: ignore[operator]
    assert not is_png_of_16_bits(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
@pytest.mark.parametrize("reader", sorted(formats.WRITERS))
def test_what_is_no_file_in_the_place_of_a_picture_or_label(kind: str, reader: str, tmp_path: Path) -> None:
    spec = formats.WRITERS[reader](tmp_path)
    image, label = formats.image_files(tmp_path)[0], formats.label_files(tmp_path)[1]
    no_file(image, kind)
    no_file(label, kind)
    problems = check(spec).problems
    assert any(f"{image} is a pipe, a socket or a device" in problem for problem in problems)
    assert any(label.name in problem and "a pipe, a socket or a device" in problem for problem in problems)
    with pytest.raises(UserError, match="has no label"):
        open_dataset(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_that_comes_after_the_set_was_opened(kind: str, tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path))
    no_file(formats.image_files(tmp_path)[0], kind)
    no_file(formats.label_files(tmp_path)[0], kind)
    with pytest.raises(UserError, match="not a file"):
        dataset.image(0)
    with pytest.raises(UserError, match="not a file"):
        dataset.label(0)
    assert dataset.fingerprint()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_in_the_place_of_a_text(kind: str, tmp_path: Path) -> None:
    no_file(tmp_path / "dataset.yaml", kind)
    with pytest.raises(UserError, match=r"dataset\.yaml"):
        open_dataset(f"folder:{tmp_path / 'dataset.yaml'}")
    no_file(tmp_path / "set.zip", kind)
    with pytest.raises(UserError, match=r"set\.zip"):
        open_dataset(f"gta5:{tmp_path / 'set.zip'}")
    spec = formats.write_mapillary(tmp_path / "vistas")
    no_file(tmp_path / "vistas/config.json", kind)
    assert isinstance(check(spec).problems, list)


def test_a_text_without_end_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_bytes(b"images: x\n" + b"# " + b"x" * 5_000_000)
    with pytest.raises(UserError, match="more than the 4,000,000 bytes"):
        read_yaml(path)


def test_a_picture_that_will_be_slow_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acclimate.data.readers.files._slow_told", set())
    Image.new("1", (6000, 5000)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (5000, 6000, 3)
    read_image(tmp_path / "a.png")
    assert ["a.png has 6000x5000 pixels" in message for message in caplog.messages] == [True]


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "/".join(["**"] * 40) + "/x.png",
        "*a" * 40 + "*/b.png",
        "**/" * 10 + "*" * 60 + "x.png",
        "?*" * 60,
        "[a-z]*" * 40,
    ],
)
def test_patterns_of_many_stars_take_no_time(pattern: str, tmp_path: Path) -> None:
    fitting = Pattern(pattern)
    assert not fitting.matches(["a" * 200] * 60)
    deep = tmp_path / "images" / "/".join(["a" * 40] * 20)
    formats.save_image(deep / f"{'a' * 100}.png")
    begin = time.perf_counter()
    assert not found(tmp_path / "images", (".png",), pattern=f"{pattern}/no").entries
    archive = formats.zipped(tmp_path / "images", tmp_path / "a.zip", around="images/")
    from acclimate.data.readers.archives import ArchivePath

    assert not found(ArchivePath(Archives([archive])) / "images", (".png",), pattern=f"{pattern}/no").entries
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.png", "a.png", True), ("*.png", "d/a.png", False), ("**/*.png", "a.png", True),
        ("**/*.png", "d/e/a.png", True),
        ("a/**/b.png", "a/b.png", True), ("a/**/b.png", "a/c/d/b.png", True), ("a/**/b.png", "c/b.png", False),
        ("[ab]?.png", "b1.png", True), ("[!ab]?.png", "b1.png", False), ("x[0-9]*.png", "x7yy.png", True),
        ("x[0-9]*.png", "xy.png", False), ("a[.png", "a[.png", True),
        ("*a*b*", "xaxbx", True), ("*a*b*", "xbxax", False),
        ("[]].png", "].png", True), ("**", "d/a.png", True), ("", "a.png", False),
    ],
)  # fmt: skip
def test_patterns_worked_out_by_hand(pattern: str, path: str, fits: bool) -> None:
    assert Pattern(pattern).matches(path.split("/")) == fits


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/" * 20_000 + "x.png", "/".join(["d" * 30] * 70) + "/x.png", "x" * 60_000 + ".png"])
def test_deep_and_long_names_in_archives_are_refused_before_they_cost_memory(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as writer:
        for number in range(3):
            writer.writestr(f"{number}/{name}", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="holds a name of"):
        Archives([tmp_path / "a.zip"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_archives_of_every_compression_is_one_message(method: int, tmp_path: Path) -> None:
    formats.write_gta5(tmp_path / "set", images=2)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as writer:
        for picture in sorted((tmp_path / "set").rglob("*.png")):
            writer.write(picture, picture.relative_to(tmp_path / "set").as_posix())
    assert check(f"gta5:{path}").problems == []
    whole = path.read_bytes()
    start = whole.index(b"images/00001.png") + len(b"images/00001.png")
    for shift in range(0, 60, 3):
        content = bytearray(whole)
        for place in range(start + shift, start + shift + 40):
            content[place] ^= 0x5A
        path.write_bytes(content)
        assert any("00001.png" in problem for problem in check(f"gta5:{path}").problems)


def test_an_unknown_compression_is_one_message(tmp_path: Path) -> None:
    formats.write_gta5(tmp_path / "set", images=1)
    path = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + offset : at + offset + 2] = struct.pack("<H", 9)  # deflate64
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        open_dataset(f"gta5:{path}").image(0)


# --- YAML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 499_000 + "]", "name: " + ":".join(["1"] * 100_000), "!!int " + ":".join(["1"] * 100_000),
        "- " * 400_000,
        "{a: " * 200_000, "? " * 400_000, "&a " * 300_000, "[" * 900_000, "x: '" + "\\" * 900_000, "#" * 999_999,
        "x: " + "9" * 900_000, "x: " + "1_" * 450_000, "x: 1e" + "9" * 900_000, "x: !!float " + "9" * 900_000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_a_megabyte_of_yaml_is_read_or_refused_in_two_seconds(text: str) -> None:
    begin = time.perf_counter()
    with contextlib.suppress(yaml.YAMLError, ValueError):
        load_yaml(text)
    assert time.perf_counter() - begin < 2


def test_as_many_values_as_are_read_take_seconds_at_most() -> None:
    assert len(load_yaml("[" + "1," * (MAX_NODES - 2) + "]")) == MAX_NODES - 2
    with pytest.raises(yaml.YAMLError, match=f"more than the {MAX_NODES} values"):
        load_yaml("[" + "1," * MAX_NODES + "]")


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", (1, 3)),
        ("x: {7: road, 8: car, 7: car}", "7", (1, 1)),
        ("x:\n  7: road\n  0x7: car\n", "0x7", (2, 3)),
        ("x:\n  - {p: 1, 'p': 2}\n", "p", (2, 2)),
        ("yes: 1\ntrue: 2\n", "true", (1, 2)),
    ],
)
def test_a_key_given_twice_is_refused_in_every_yaml(
    text: str, key: str, lines: tuple[int, int], tmp_path: Path
) -> None:
    words = f"the key '{key}' is given in line {lines[0]} and in line {lines[1]}; keep one"
    with pytest.raises(yaml.YAMLError, match=words):
        load_yaml(text)
    (tmp_path / "recipe.yaml").write_text(text)
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        load_recipe(str(tmp_path / "recipe.yaml"))
    with pytest.raises(UserError, match=words):
        open_dataset(f"folder:{tmp_path}")


def test_merged_keys_may_be_given_anew() -> None:
    assert load_yaml("a: &a {p: 1, q: 2}\nb: {<<: *a, p: 3}\nc: {<<: [*a, *a]}\n")["b"] == {"p": 3, "q": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"), ("010", "010"), ("0", 0), ("-7", -7), ("0x1F", 31), ("1_000", 1000),
        ("1.5", 1.5), ("-.5", -0.5),
        ("1.0e-05", 1e-05),
        ("190:20:30.15", "190:20:30.15"), ("true", True), ("~", None),
        (".inf", float("inf")),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_read_them(text: str, value: object) -> None:
    assert load_yaml(f"x: {text}") == {"x": value}


# --- annotations ------------------------------------------------------------------------------------------------------


def coco(folder: Path, **changes: object) -> str:
    """A COCO set of one picture, with something else in place of parts of its annotation."""
    formats.save_image(folder / "images/train/a.png", height=10, width=10)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 10, "height": 10}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]}],
        **changes,
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations/train.json").write_text(json.dumps(content))
    return f"coco:{folder}"


IMAGE, CATEGORY = {"id": 1, "file_name": "a.png"}, {"id": 3, "name": "car"}


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": [{"id": "3", "name": "car"}, {"id": 4, "name": "bus"}]},
        {"categories": [{"id": None, "name": "car"}]},
        {"categories": [CATEGORY, {"id": 3, "name": "bus"}]}, {"categories": {"3": "car"}}, {"categories": None},
        {"images": [{"id": [1], "file_name": "a.png"}]}, {"images": [{"id": 1, "file_name": 7}]},
        {"images": [IMAGE, IMAGE]},
        {"images": [IMAGE, {"id": 1, "file_name": "b.png"}]}, {"images": [5]}, {"annotations": [5]}, {"annotations": 5},
        {"annotations": [{"image_id": 1, "category_id": [3], "bbox": [1, 1, 5, 5]}]},
        {"annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 1, float("nan"), 5]}]},
        {"annotations": [{"image_id": 1, "category_id": 3, "bbox": "1234"[:3]}]},
        {"annotations": [{"image_id": {}, "category_id": 3, "bbox": [1, 1, 5, 5]}]},
        {"images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}]},
        {"images": [{"id": 1, "file_name": "../../a.png"}]},
    ],
    ids=lambda changes: json.dumps(changes)[:50],
)  # fmt: skip
def test_strange_coco_annotations_are_one_message(changes: dict[str, object], tmp_path: Path) -> None:
    assert open_boxes(coco(tmp_path)).boxes(0).corners.tolist() == [[1, 1, 6, 6]]
    with pytest.raises(UserError, match=r"train\.json|a\.png"):
        open_boxes(coco(tmp_path, **changes)).boxes(0)


@pytest.mark.parametrize("content", [b"[" * 300_000, b"\xff", b"1" * 10_000, b"", b"{}", b"[]", b"null"])
def test_json_that_is_no_annotation(content: bytes, tmp_path: Path) -> None:
    spec = coco(tmp_path)
    (tmp_path / "annotations/train.json").write_bytes(content)
    with pytest.raises(UserError, match=r"train\.json"):
        open_boxes(spec)


def test_boxes_of_a_picture_that_exif_turns_are_refused(tmp_path: Path) -> None:
    spec = coco(tmp_path, images=[{"id": 1, "file_name": "a.png", "width": 12, "height": 6}])
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.new("RGB", (12, 6)).save(content, "PNG", exif=exif)
    (tmp_path / "images/train/a.png").write_bytes(content.getvalue())
    with pytest.raises(UserError, match=r"says that a is 12x6, but .* is 6x12 upright, as its EXIF orientation 6 says"):
        open_boxes(spec).boxes(0)


@pytest.mark.parametrize("content", [b"\xffx", None])
def test_voc_lists_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    formats.save_image(tmp_path / "JPEGImages/a.jpg")
    path = tmp_path / "ImageSets/Main/train.txt"
    path.parent.mkdir(parents=True)
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"train\.txt"):
        open_boxes(f"voc:{tmp_path}")
