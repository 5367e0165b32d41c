"""Which files are a set: what lies around pictures is left out and told, whatever made it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.check import check
from acclimate.data.readers.listing import MARK, found
from acclimate.data.registry import DATASETS, open_dataset
from acclimate.errors import UserError
from acclimate.evaluation.inputs import inputs_named

UNLABELLED = "images: images\n"
LABELLED = "images: images\nlabels: labels\nclasses: [grass, stone]\n"


def folder_set(folder: Path, *names: str, yaml: str = UNLABELLED) -> str:
    """Pictures of these names, described by a YAML."""
    for name in names:
        formats.save_image(folder / "images" / name)
    (folder / "dataset.yaml").write_text(yaml, encoding="utf-8")
    return f"folder:{folder}"


@pytest.mark.parametrize("kind", sorted(name for name, kind in DATASETS.items() if kind.reader is not None))
def test_what_systems_and_acclimate_leave_between_pictures_is_no_picture(kind: str, tmp_path: Path) -> None:
    spec = formats.WRITERS[kind](tmp_path)
    before = list(open_dataset(spec).names)
    picture = formats.image_files(tmp_path)[0]
    for place in (
        ".ipynb_checkpoints",
        "@eaDir",
        "__MACOSX",
        ".thumbnails/deep",
        "predictions",
        "run/1-advent/pictures",
    ):
        target = picture.parent / place / f"{picture.stem}-checkpoint{picture.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.read_bytes())
    for name in (f"._{picture.name}", ".DS_Store", "Thumbs.db", "notes.txt"):
        picture.with_name(name).write_bytes(b"left")
    for written in ("predictions", "run"):
        (picture.parent / written / MARK).write_text("{}")
    dataset = open_dataset(spec)
    assert list(dataset.names) == before
    notes = dataset.listing.notes  # type: ignore[attr-defined]
    assert [note for note in notes if "was written by acclimate and is left out" in note] == [
        f"{picture.parent / 'run'} was written by acclimate and is left out",
        f"{picture.parent / 'predictions'} was written by acclimate and is left out",
    ]


def test_predict_leaves_out_the_same(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png", "deep/b.webp", "out/a.png"):
        formats.save_image(tmp_path / "x.png").rename(formats.save_image(tmp_path / "images" / name))
    (tmp_path / "images/out" / MARK).write_text("{}")
    assert [each.name for each in inputs_named([tmp_path / "images"], tmp_path / "elsewhere")] == ["a", "deep/b"]


def test_suffixes_that_are_not_read_are_counted(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png", "b.webp")
    for name in ("c.heic", "d.HEIC", "e.ppm", "clip.mp4", "readme.txt"):
        (tmp_path / "images" / name).write_bytes(b"x")
    notes = check(spec).notes
    assert any("4 files in " in note and "(.heic 2, .mp4 1, .ppm 1) and are left out" in note for note in notes), notes


def test_jpeg_labels_are_counted_not_passed_over(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png", yaml=LABELLED)
    formats.save_image(tmp_path / "labels/a.jpg")
    report = check(spec)
    assert any("a.png has no label" in problem for problem in report.problems)
    assert any("1 files in " in note and "(.jpg 1)" in note for note in report.notes)


def test_links_that_lead_around_count_pictures_once(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a/1.png", "b/2.png")
    images = tmp_path / "images"
    (images / "a/again").symlink_to(images)
    (images / "b/again").symlink_to(images / "a")
    (images / "self").symlink_to(images / "self")
    (images / "x").symlink_to(images / "y")
    (images / "y").symlink_to(images / "x")
    other = formats.save_image(tmp_path / "elsewhere/3.png").parent
    (images / "linked").symlink_to(other)
    dataset = open_dataset(spec)
    assert list(dataset.names) == ["a/1", "b/2", "linked/3"]
    assert sum("leads to a folder that is read already" in note for note in check(spec).notes) == 2


@pytest.mark.parametrize("pattern", ["images/**/*.png", "images/*", "images/**/**/**/*.png"])
def test_links_that_lead_around_in_patterns(pattern: str, tmp_path: Path) -> None:
    folder_set(tmp_path, "1.png")
    for name in ("one", "two"):
        (tmp_path / "images" / name).symlink_to(tmp_path / "images")
    (tmp_path / "dataset.yaml").write_text(f"images: '{pattern}'\n")
    assert list(open_dataset(f"folder:{tmp_path}").names) == ["1"]


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png")
    (tmp_path / "images/b.png").symlink_to(tmp_path / "gone.png")
    assert any("b.png is a link that leads nowhere" in problem for problem in check(spec).problems)


def test_decomposed_and_composed_names_are_the_same(tmp_path: Path) -> None:
    composed = "Zürich/café"
    spec = folder_set(tmp_path, unicodedata.normalize("NFD", composed) + ".png", yaml=LABELLED)
    formats.save(tmp_path / "labels" / f"{composed}.png", formats.grey(formats.some_ids(0, (0, 1))))
    dataset = open_dataset(spec)
    assert list(dataset.names) == [composed]
    assert set(dataset.label(0).ravel().tolist()) == {0, 1}
    formats.save_image(tmp_path / "images" / f"{composed}.png")
    with pytest.raises(UserError, match="differ only in how accents are written"):
        open_dataset(spec)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\x1b[2J.png", b"line\nbreak.png"])
def test_names_that_cannot_be_written_are_refused_at_once(name: bytes, tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png")
    (tmp_path / "images/a.png").rename(
        os.path.join(os.fsencode(tmp_path / "images"), name).decode("utf-8", "surrogateescape")
    )
    with pytest.raises(UserError, match=r"has a name that is not UTF-8 or holds control characters") as caught:
        open_dataset(spec)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("folder", ["im [1]", "a*b", "what?", "[!x]"])
def test_a_folder_of_exactly_that_name_wins_over_the_pattern(folder: str, tmp_path: Path) -> None:
    formats.save_image(tmp_path / folder / "deep" / "a.png")
    (tmp_path / "dataset.yaml").write_text(f'images: "{folder}"\n')
    assert list(open_dataset(f"folder:{tmp_path}").names) == ["deep/a"]
    (tmp_path / "dataset.yaml").write_text(f'images: "{folder}/*/*.png"\n')
    assert list(open_dataset(f"folder:{tmp_path}").names) == ["deep/a"]


def test_a_folder_that_may_not_be_listed_is_told(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png", "secret/b.png")
    (tmp_path / "images/secret").chmod(0)
    try:
        if os.access(tmp_path / "images/secret", os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(UserError, match="secret cannot be listed"):
            open_dataset(spec)
    finally:
        (tmp_path / "images/secret").chmod(0o700)


# --- names of labels and lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        ('"{name}_mask"', "deep/0_mask.png"),
        ('"{name}_train_id"', "deep/0_train_id.png"),
        ('"{file}"', "deep/0.jpg.png"),
        ('"masks-of-{name}"', "masks-of-deep/0.png"),
        ("{deep: shallow}", "shallow/0.png"),
    ],
)
def test_names_of_labels_follow_from_their_pictures(rule: str, label: str, tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "deep/0.jpg", yaml=f"{LABELLED}label_name: {rule}\n")
    formats.save(tmp_path / "labels" / label, formats.grey(formats.some_ids(0, (0, 1))))
    assert open_dataset(spec).label(0).shape == (formats.HEIGHT, formats.WIDTH)


@pytest.mark.parametrize(
    ("label", "rule"), [("0_L.png", "{name}_L"), ("0.jpg.png", "{file}"), ("0.jpg_x.png", "{file}_x")]
)
def test_a_missing_label_offers_the_pattern(label: str, rule: str, tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "0.jpg", yaml=LABELLED)
    formats.save(tmp_path / "labels" / label, formats.grey(formats.some_ids(0, (0, 1))))
    with pytest.raises(UserError) as caught:
        open_dataset(spec)
    assert f'say label_name: "{rule}"' in str(caught.value)
    (tmp_path / "dataset.yaml").write_text(f'{LABELLED}label_name: "{rule}"\n')
    assert open_dataset(spec).has_labels


@pytest.mark.parametrize(
    "line", ["{}", "{}.jpg", "{}.jpg masks/{}.png", "data/images/{}.jpg", "/images/{}.jpg", "{} 1"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_names_the_pictures_of_a_split(line: str, end: str, tmp_path: Path) -> None:
    yaml = LABELLED.replace("images: images", "images: {train: {folder: images, list: lists/train.txt}}")
    yaml = yaml.replace("labels: labels", "labels: {train: labels}")
    spec = folder_set(tmp_path, "1.jpg", "2.jpg", "3.jpg", yaml=yaml)
    for name in "13":
        formats.save(tmp_path / "labels" / f"{name}.png", formats.grey(formats.some_ids(0, (0, 1))))
    (tmp_path / "lists").mkdir()
    text = end.join(["# comment", "", line.replace("{}", "3"), line.replace("{}", "1"), ""])
    (tmp_path / "lists/train.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    dataset = open_dataset(spec)
    assert list(dataset.names) == ["1", "3"]
    assert check(spec).problems == []
    (tmp_path / "lists/train.txt").write_text("1\nnone\n4\n")
    with pytest.raises(UserError, match=r"train\.txt names 'none', of which there is no image \(2 such names\)"):
        open_dataset(spec)


@pytest.mark.parametrize("content", [None, b"\xff\xfe1\n"])
def test_lists_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "1.jpg", yaml="images: {train: {folder: images, list: train.txt}}\n")
    if content is not None:
        (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"train\.txt"):
        open_dataset(spec)


def test_a_set_without_labels_needs_no_classes(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png")
    assert not open_dataset(spec, class_space="cityscapes-19").has_labels
    assert check(spec).problems == []


def test_others_may_be_void(tmp_path: Path) -> None:
    spec = folder_set(tmp_path, "a.png", yaml=LABELLED + "ids: {3: grass, 4: stone}\n")
    ids = formats.some_ids(0, (3, 4, 5, 99))
    formats.save(tmp_path / "labels/a.png", formats.grey(ids))
    with pytest.raises(UserError, match="holds the class ids 5, 99"):
        open_dataset(spec).label(0)
    before = open_dataset(spec).fingerprint()
    (tmp_path / "dataset.yaml").write_text(LABELLED + "ids: {3: grass, 4: stone}\nothers: void\n")
    label = open_dataset(spec).label(0)
    assert (label == np.select([ids == 3, ids == 4], [0, 1], 255)).all()
    assert open_dataset(spec).fingerprint() != before
    assert found(tmp_path / "images", (".png",)).entries
