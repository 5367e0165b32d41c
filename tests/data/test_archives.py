"""Data sets inside zip archives read as they do from folders, and archives cannot do what they should not."""

from __future__ import annotations

import multiprocessing
import pickle
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import formats
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from acclimate.data.check import check
from acclimate.data.loading import batches
from acclimate.data.readers import archives as module
from acclimate.data.readers.archives import Archives
from acclimate.data.readers.patterns import Pattern
from acclimate.data.registry import default_class_space, open_dataset
from acclimate.data.sample import Dataset
from acclimate.data.transforms import Transform
from acclimate.errors import UserError


def equal(first: Dataset, second: Dataset) -> bool:
    """Whether two sets give the same names, images and labels."""
    assert list(first.names) == list(second.names)
    assert first.has_labels == second.has_labels
    return all(
        np.array_equal(first.image(index), second.image(index))
        and np.array_equal(first.label(index), second.label(index))
        for index in range(len(first))
    )


@pytest.fixture(params=sorted(formats.WRITERS))
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A spec of the set in a folder, and of its archive."""
    spec = formats.WRITERS[request.param](tmp_path / "set")
    return spec, f"{request.param}:{formats.zipped(tmp_path / 'set', tmp_path / 'shipped' / 'set.zip')}"


def test_an_archive_reads_as_its_folder(both: tuple[str, str]) -> None:
    folder, archive = (open_dataset(spec) for spec in both)
    assert equal(folder, archive)
    assert archive.spec == both[1]
    assert default_class_space(both[1]).classes == default_class_space(both[0]).classes


def test_a_folder_around_the_set_and_a_folder_of_archives(both: tuple[str, str], tmp_path: Path) -> None:
    kind = both[0].partition(":")[0]
    around = formats.zipped(tmp_path / "set", tmp_path / "around" / "deep.zip", around="set-as-released/")
    assert equal(open_dataset(both[0]), open_dataset(f"{kind}:{around}"))
    if kind != "folder":  # whose path is a YAML
        assert equal(open_dataset(both[0]), open_dataset(f"{kind}:{tmp_path / 'around'}"))


def test_checking_an_archive(both: tuple[str, str]) -> None:
    inside, outside = check(both[1]), check(both[0])
    assert (inside.problems, inside.notes) == ([], [])
    assert (inside.images, inside.labels, inside.sizes) == (outside.images, outside.labels, outside.sizes)


def test_images_and_labels_shipped_apart(tmp_path: Path) -> None:
    spec = formats.write_cityscapes(tmp_path / "set")
    shipped = tmp_path / "shipped"
    for part in ("leftImg8bit", "gtFine"):
        formats.zipped(tmp_path / "set" / part, shipped / f"{part}_trainvaltest.zip", around=f"{part}/")
        with zipfile.ZipFile(shipped / f"{part}_trainvaltest.zip", "a") as writer:
            writer.writestr("README", f"about {part}")  # both archives have one, and they differ
    assert equal(open_dataset(spec, split="val"), open_dataset(f"cityscapes:{shipped}", split="val"))
    named = ",".join(str(path) for path in sorted(shipped.iterdir()))
    assert equal(open_dataset(spec), open_dataset(f"cityscapes:{named}"))


def test_a_description_may_name_archives_beside_it(tmp_path: Path) -> None:
    spec = formats.write_folder(tmp_path / "set")
    formats.zipped(tmp_path / "set" / "photos", tmp_path / "other" / "photos.zip")
    formats.zipped(tmp_path / "set" / "masks", tmp_path / "other" / "masks.zip")
    yaml = formats.FOLDER_YAML.replace("photos/", "photos.zip/").replace("masks/", "masks.zip/")
    (tmp_path / "other" / "dataset.yaml").write_text(yaml)
    assert equal(open_dataset(spec), open_dataset(f"folder:{tmp_path / 'other' / 'dataset.yaml'}"))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    formats.write_gta5(tmp_path / "set")
    first = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    before = open_dataset(f"gta5:{first}").fingerprint()
    assert open_dataset(f"gta5:{formats.zipped(tmp_path / 'set', tmp_path / 'b.zip')}").fingerprint() == before
    formats.save(tmp_path / "set" / "labels" / "00002.png", formats.palette(formats.some_ids(99, range(35))))
    changed = formats.zipped(tmp_path / "set", tmp_path / "c.zip")
    assert open_dataset(f"gta5:{changed}").fingerprint() != before


def _sums(dataset: Dataset, into: multiprocessing.Queue[list[int]]) -> None:
    into.put([int(dataset.image(index).sum()) for index in range(len(dataset))] * 20)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_several_processes_each_have_a_handle(tmp_path: Path, start: str) -> None:
    formats.write_gta5(tmp_path / "set", images=8)
    dataset = open_dataset(f"gta5:{formats.zipped(tmp_path / 'set', tmp_path / 'a.zip')}")
    expected = [int(dataset.image(index).sum()) for index in range(len(dataset))] * 20
    context = multiprocessing.get_context(start)
    results = context.Queue()
    workers = [context.Process(target=_sums, args=(dataset, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found == [expected] * 2
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own object, as a loader process gets it
    assert again.fingerprint() == dataset.fingerprint()


def test_batches_do_not_depend_on_where_or_with_how_many_workers(tmp_path: Path) -> None:
    spec = formats.write_gta5(tmp_path / "set", images=6)
    archive = f"gta5:{formats.zipped(tmp_path / 'set', tmp_path / 'a.zip')}"

    def some(spec: str, workers: int) -> list[NDArray[np.float32]]:
        transform = Transform(size=(10, 6), flip=True)
        loader = batches(
            open_dataset(spec), transform=transform, batch_size=2, seed=3, steps=4, workers=workers, labels=True
        )
        return [batch.images.numpy() for batch in loader]

    reference = some(spec, 0)
    for other in (some(archive, 0), some(archive, 2)):
        for a, b in zip(reference, other, strict=True):
            np.testing.assert_array_equal(a, b)


# --- what archives cannot do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil.png", "images/../../evil.png", "/etc/evil.png", "images\\..\\evil.png", "C:/evil.png", "a//b.png"]
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    formats.write_gta5(tmp_path / "set")
    path = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as writer:
        info = zipfile.ZipInfo("x")
        info.filename = name
        writer.writestr(info, b"")
    with pytest.raises(UserError, match="could lead outside its folder") as caught:
        open_dataset(f"gta5:{path}")
    assert str(path) in str(caught.value)


def test_members_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.write_gta5(tmp_path / "set")
    path = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    dataset = open_dataset(f"gta5:{path}")
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 100)
    with pytest.raises(UserError, match=r"a\.zip/images/00001\.png unpacks to \d+ bytes, more than"):
        dataset.image(0)


def test_a_member_that_holds_more_than_it_claims_is_found_out(tmp_path: Path) -> None:
    # the sizes in both headers say 50 bytes; the data unpacks to far more
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("images/00001.png", b"\0" * 1_000_000)
    content = path.read_bytes().replace(struct.pack("<I", 1_000_000), struct.pack("<I", 50))
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        Archives([path]).read("images/00001.png")


def test_an_image_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as writer:
        writer.writestr("images/00001.png", b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(UserError, match=r"a\.zip/images/00001\.png (has 100000x100000 pixels|cannot be read)"):
        open_dataset(f"gta5:{path}").image(0)


def test_damage_is_told_with_the_file(tmp_path: Path) -> None:
    formats.write_gta5(tmp_path / "set", images=2)
    path = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    place = content.index(b"images/00002.png") + len(b"images/00002.png")
    content[place + 60 : place + 80] = bytes(20)
    path.write_bytes(content)
    report = check(f"gta5:{path}")
    assert len(report.problems) == 1
    assert "a.zip/images/00002.png" in report.problems[0]
    (tmp_path / "b.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"b\.zip cannot be read as a zip archive"):
        open_dataset(f"gta5:{tmp_path / 'b.zip'}")
    with pytest.raises(UserError, match=r"there is no archive .*c\.zip"):
        open_dataset(f"gta5:{tmp_path / 'c.zip'}")


def test_two_archives_that_contradict_each_other(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        formats.save_image(tmp_path / name / "images" / "00001.png", number)
        formats.zipped(tmp_path / name, tmp_path / f"{name}.zip")
    with pytest.raises(UserError, match=r"a\.zip and .*b\.zip hold different files called images/00001\.png"):
        open_dataset(f"gta5:{tmp_path}")


def test_links_in_archives_are_not_followed(tmp_path: Path) -> None:
    secret = formats.save_image(tmp_path / "secret.png")
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as writer:
        info = zipfile.ZipInfo("images/00001.png")
        info.external_attr = 0o120777 << 16
        writer.writestr(info, str(secret))
    with pytest.raises(UserError, match="cannot be read as an image"):
        open_dataset(f"gta5:{path}").image(0)


@pytest.mark.parametrize(
    "pattern", ["*.png", "*/*.png", "**/*.png", "a/*.png", "a/**/c?.png", "a/[bc]*/*.png", "[!a]*.png", "a/b/c1.png"]
)
def test_patterns_match_as_on_disk(tmp_path: Path, pattern: str) -> None:
    names = ["x.png", "a.png", "a/y.png", "a/b/c1.png", "a/b/c12.png", "a/b/d/c2.png", "a+b/x.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob(pattern)}
    assert {name for name in names if Pattern(pattern).matches(PurePosixPath(name).parts)} == expected


def test_sixteen_bit_labels_are_read_from_archives(tmp_path: Path) -> None:
    spec = formats.write_synthia(tmp_path / "RAND_CITYSCAPES", images=2)
    archive = formats.zipped(tmp_path / "RAND_CITYSCAPES", tmp_path / "s.zip", around="RAND_CITYSCAPES/")
    dataset = open_dataset(f"synthia:{archive}")
    assert equal(open_dataset(spec), dataset)
    assert len(np.unique(dataset.label(0))) > 5
    assert Image.open(tmp_path / "RAND_CITYSCAPES/GT/LABELS/0000000.png").mode == "RGB"  # Pillow reduces it
