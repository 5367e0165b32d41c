"""``acclimate check``: every planted fault is found with its file's name and exit status 2; a clean set exits 0."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import formats
import numpy as np
import pytest
from PIL import Image

from acclimate.cli.app import main
from acclimate.data.check import check
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError

Exit = tuple[int, str]
SHAPE = (formats.HEIGHT, formats.WIDTH)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Exit]:
    """Runs the command; gives its exit status and what it printed."""

    def run(spec: str) -> Exit:
        monkeypatch.setattr(sys, "argv", ["acclimate", "check", spec])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capsys.readouterr().out

    return run


def full(value: int) -> formats.Ids:
    """A label of one id."""
    return np.full(SHAPE, value)


def save_ids(kind: str, path: Path, ids: formats.Ids) -> None:
    """A label in the kind's own encoding."""
    if kind == "synthia":
        path.write_bytes(formats.png16(np.stack([ids, 0 * ids, 0 * ids], axis=-1)))
    else:
        formats.save(path, formats.red(ids) if kind == "carla" else formats.grey(ids))


def plant(kind: str, folder: Path) -> list[tuple[str, str]]:
    """Every fault that any kind can have, each in files of its own; returns (file, words) for each."""
    images, labels = formats.image_files(folder), formats.label_files(folder)
    if kind != "carla":
        images, labels = images[:5], labels[:5]
    images[0].write_bytes(images[0].read_bytes()[:150])
    labels[1].unlink()
    save_ids(kind, labels[2], full(200))
    orphan = labels[2].with_name(labels[2].name.replace(images[2].stem.split("_")[0], "orphan", 1))
    if orphan == labels[2]:
        orphan = labels[2].with_name(f"orphan{labels[2].name}")
    save_ids(kind, orphan, full(1))
    labels[3].write_bytes(b"\x89PNG no more")
    wrong = formats.palette(full(1)) if kind == "carla" else Image.fromarray(formats.noise(1))
    formats.save(labels[4], wrong)
    return [
        (images[0].name, "cannot be read as an image"),
        (images[1].name, "has no label"),
        (labels[2].name, "holds the class id 200"),
        (orphan.name, "is a label without an image"),
        (labels[3].name, "cannot be read"),
        (labels[4].name, "has mode P" if kind == "carla" else "is a colour picture"),
    ]


def many(kind: str, folder: Path) -> str:
    """A set with at least five training images."""
    sizes = {"carla": {}, "cityscapes": {"images": 5}}
    return formats.WRITERS[kind](folder, **sizes.get(kind, {"images": 8}))


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("kind", sorted(formats.WRITERS))
def test_planted_faults_are_all_found(kind: str, zipped: bool, tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = many(kind, tmp_path / "set")

    def where() -> str:
        return f"{kind}:{formats.zipped(tmp_path / 'set', tmp_path / 'set.zip')}" if zipped else spec

    status, out = checked(where())
    assert status == 0
    assert "no problems" in out
    assert "note:" not in out
    faults = plant(kind, tmp_path / "set")
    status, out = checked(where())
    assert status == 2
    problems = [line for line in out.splitlines() if line.startswith("problem: ")]
    for file, words in faults:
        assert sum(file in line and words in line for line in problems) == 1, (file, words, problems)
    assert len(problems) == len(faults)


# --- what only one kind of data can have ------------------------------------------------------------------------------


def test_train_ids_in_place_of_label_ids(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.write_cityscapes(tmp_path, images=1)
    ids = full(13)
    ids[0] = 255
    formats.save(tmp_path / "gtFine/val/aachen/aachen_000000_000019_gtFine_labelIds.png", formats.grey(ids))
    status, out = checked(spec)
    assert status == 2
    assert "val/aachen/aachen_000000_000019_gtFine_labelIds.png holds the class id 255 and none above 18" in out


@pytest.mark.parametrize("kind", ["cityscapes", "gta5"])
def test_id_minus_one_is_void_and_noted(kind: str, tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.WRITERS[kind](tmp_path)
    path, ids = formats.label_files(tmp_path)[0], full(26)
    ids[:2] = -1  # 255 in 8 bits
    formats.save(path, formats.grey(ids))
    label = open_dataset(spec).label(0)
    assert (label[:2] == 255).all()
    assert (label[2:] == 13).all()
    status, out = checked(spec)
    assert status == 0
    assert f"note: 1 labels hold id -1 (as 255), which is void: {path.name}" in out


@pytest.mark.parametrize(("kind", "digits"), [("gta5", 5), ("synthia", 7)])
def test_missing_numbers_are_noted(kind: str, digits: int, tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.WRITERS[kind](tmp_path, images=9)
    for path in formats.image_files(tmp_path) + formats.label_files(tmp_path):
        if int(path.stem) in (3, 4, 6):
            path.unlink()
    status, out = checked(spec)
    assert status == 0
    assert (
        f"note: 3 images are missing in the numbering: {3:0{digits}d}-{4:0{digits}d}, {6:0{digits}d}"
        in out.splitlines()
    )


def test_gta5_sizes_that_vary_are_told(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.write_gta5(tmp_path, images=3, labels={"00002": np.full((10, 18), 7)})
    formats.save_image(tmp_path / "images" / "00003.png", height=14, width=20)
    status, out = checked(spec)
    assert status == 0
    assert "sizes: 20x12 (2), 20x14 (1)" in out
    assert "note: 2 labels differ in size from their image and are resized to it: 00002, 00003" in out


def test_synthia_labels_of_8_bits(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.write_synthia(tmp_path, images=3)
    labels = tmp_path / "GT" / "LABELS"
    formats.save(labels / "0000001.png", formats.grey(formats.some_ids(1, range(23))))  # repackaged, sound
    assert checked(spec)[0] == 0
    assert "1 labels were repackaged with 8 bits: 0000001.png" in checked(spec)[1]
    # what a program leaves that takes the high byte of 16
    formats.save(labels / "0000002.png", formats.grey(formats.some_ids(2, range(23)) >> 8))
    status, out = checked(spec)
    assert status == 2
    assert "0000002.png is an 8-bit label of nothing but zeros" in out


def test_labels_without_a_class_are_noted(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.write_cityscapes(tmp_path, splits=("test",), images=1)
    for path in tmp_path.rglob("*_labelIds.png"):
        formats.save(path, formats.grey(full(0)))
    status, out = checked(spec)
    assert status == 0
    assert "note: 2 labels hold no pixel of a class: aachen_000000_000019_gtFine_labelIds.png, " in out


def test_mapillary_with_other_classes(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = formats.write_mapillary(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"Road"', '"Path"'))
    status, out = checked(spec)
    assert status == 2
    assert f"problem: {config} calls id 13 'Path', but mapillary labels have 'Road'" in out
    config.write_text('{"labels": []}')
    assert f"{config} lists 0 classes, but mapillary labels have 66" in checked(spec)[1]
    config.write_text("{")
    assert f"{config} cannot be read as the list of classes" in checked(spec)[1]


COLOURS_YAML = """\
images: photos
labels: masks
classes: [road, car]
ids: {"#804080": road, "#00008e": car, "#0000e6": car, "#000000": void}
"""


def write_coloured(folder: Path, yaml: str = COLOURS_YAML) -> str:
    """Three masks drawn in the colours above."""
    table = np.array([(128, 64, 128), (0, 0, 142), (0, 0, 230), (0, 0, 0)], dtype=np.uint8)
    for number in range(3):
        formats.save_image(folder / "photos" / f"{number}.png", number)
        formats.save(folder / "masks" / f"{number}.png", Image.fromarray(table[formats.some_ids(number, range(4))]))
    (folder / "dataset.yaml").write_text(yaml)
    return f"folder:{folder / 'dataset.yaml'}"


def test_masks_in_colours(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    spec = write_coloured(tmp_path)
    expected = np.array([0, 1, 1, 255])[formats.some_ids(2, range(4))]
    np.testing.assert_array_equal(open_dataset(spec).label(2), expected)
    assert checked(spec)[0] == 0
    # a palette picture is read by its colours, whatever its indices
    picture = Image.open(tmp_path / "masks" / "2.png").quantize(4)
    formats.save(tmp_path / "masks" / "2.png", picture)
    np.testing.assert_array_equal(open_dataset(spec).label(2), expected)
    mask = np.zeros((*SHAPE, 3), dtype=np.uint8)
    mask[0, :2] = [(1, 2, 3), (128, 64, 129)]  # smoothed edges
    formats.save(tmp_path / "masks" / "1.png", Image.fromarray(mask))
    status, out = checked(spec)
    assert status == 2
    assert "1.png holds the colour #010203 (0.14 % of all pixels), which this data set does not define" in out
    assert "1.png holds the colour #804081 (0.14 % of all pixels), which this data set does not define" in out
    assert '  "#010203": void  # 0.14 % of all pixels, 1 label, such as 1.png\n  "#804081": void  # 0.14 %' in out
    with pytest.raises(UserError, match=r"1\.png holds the colours #010203, #804081, which this data set does not"):
        open_dataset(spec).label(1)


def test_masks_in_the_colours_of_the_classes(tmp_path: Path) -> None:
    colours = {"a": [128, 64, 128], "b": [0, 0, 142], "c": [0, 0, 230]}
    classes = "classes: [" + ", ".join(f"{{name: {name}, colour: {colour}}}" for name, colour in colours.items()) + "]"
    spec = write_coloured(tmp_path, f"images: photos\nlabels: masks\n{classes}\nids: colours\n")
    np.testing.assert_array_equal(open_dataset(spec).label(0), np.array([0, 1, 2, 255])[formats.some_ids(0, range(4))])
    named = write_coloured(tmp_path, "images: photos\nlabels: masks\nclasses: cityscapes-19\nids: colours\n")
    np.testing.assert_array_equal(
        open_dataset(named).label(0), np.array([0, 13, 17, 255])[formats.some_ids(0, range(4))]
    )
    # read in other classes by their names
    narrowed = open_dataset(named, class_space="cityscapes-19")
    np.testing.assert_array_equal(narrowed.label(1), open_dataset(named).label(1))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("{'#80408': road}", "'#80408' is neither a number nor a colour"),
        ("{'#804080': road, 3: car}", "numbers and colours cannot be mixed"),
        ("colours", "needs a colour for every class, but 'road' has none"),
    ],
)
def test_what_is_wrong_with_colours_is_told(tmp_path: Path, ids: str, message: str) -> None:
    spec = write_coloured(tmp_path, f"images: photos\nlabels: masks\nclasses: [road, car]\nids: {ids}\n")
    with pytest.raises(UserError, match=message):
        open_dataset(spec)


def test_an_archive_that_leads_outside_is_an_error(tmp_path: Path, checked: Callable[[str], Exit]) -> None:
    formats.write_gta5(tmp_path / "set")
    path = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as writer:
        writer.writestr("images/../../00009.png", b"")
    assert checked(f"gta5:{path}")[0] == 2


def test_both_label_sets_of_release_2(tmp_path: Path) -> None:
    formats.write_mapillary(tmp_path, layout="v2", version="v1.2")
    formats.write_mapillary(tmp_path, layout="v2", version="v2.0")
    old, new = (open_dataset(f"{kind}:{tmp_path}", split="val") for kind in ("mapillary", "mapillary-2"))
    for dataset, count in ((old, 66), (new, 124)):
        table = dataset.class_space.mappings[dataset.spec.partition(":")[0]]
        expected = np.vectorize(table.__getitem__)(formats.some_ids(1, range(count)))
        np.testing.assert_array_equal(dataset.label(1), expected)
        assert check(dataset.spec).problems == []


def test_mapillary_pairs_by_name_not_by_order(tmp_path: Path) -> None:
    spec = formats.write_mapillary(tmp_path)
    (tmp_path / "training" / "labels" / "training0.png").unlink()
    with pytest.raises(UserError, match=r"training0\.jpg has no label"):
        open_dataset(spec)
