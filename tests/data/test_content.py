"""Data are known by content: read once, again when the file system says otherwise, and the same wherever they lie."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path

import formats
import pytest

from acclimate.data import content
from acclimate.data.content import UNREADABLE, FileDigests
from acclimate.data.readers.archives import ArchivePath, Archives
from acclimate.data.registry import open_dataset


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three files that have lain long enough."""
    monkeypatch.setattr(content, "SETTLED", 0.0)
    (tmp_path / "data").mkdir()
    paths = [tmp_path / "data" / name for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
    time.sleep(0.02)  # more than a tick of the file system's clock
    return paths


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose content is read, as it happens."""
    seen: list[str] = []
    digest = content._digest

    def noted(place: Path | ArchivePath) -> str:
        seen.append(place.name)
        return digest(place)

    monkeypatch.setattr(content, "_digest", noted)
    return seen


def test_a_file_is_read_once(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    digests = FileDigests(tmp_path / "cache")
    assert digests.of([*files, files[0]], "files") == [*expected, expected[0]]
    assert sorted(read) == ["a", "b", "c"]
    assert digests.of(files, "files") == expected
    assert FileDigests(tmp_path / "cache").of(files[::-1], "files") == expected[::-1]
    assert len(read) == 3


def test_a_copy_that_lost_its_times_is_read_and_is_the_same(tmp_path: Path, read: list[str]) -> None:
    spec = formats.write_gta5(tmp_path / "one")
    before = open_dataset(spec).fingerprint()
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)
    count = len(read)
    assert open_dataset(f"gta5:{tmp_path / 'two'}").fingerprint() == before
    assert len(read) == 2 * count


@pytest.mark.skipif(os.name == "nt", reason="Windows has no status-change time")
def test_a_change_under_the_old_size_and_time_is_noticed(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    digests = FileDigests(tmp_path / "cache")
    before = digests.of(files, "files")
    stat = files[1].stat()
    with open(files[1], "r+b") as stream:
        stream.write(b"x")
    os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (files[1].stat().st_size, files[1].stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    after = digests.of(files, "files")
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] == hashlib.sha256(files[1].read_bytes()).hexdigest() != before[1]
    assert sorted(read) == ["a", "b", "b", "c"]


def test_another_file_put_in_its_place_with_its_times_is_noticed(files: list[Path], tmp_path: Path) -> None:
    digests = FileDigests(tmp_path / "cache")
    before = digests.of(files[:1], "files")
    other = tmp_path / "other"
    other.write_bytes(b"z" * 1000)
    shutil.copystat(files[0], other)
    os.replace(other, files[0])
    assert digests.of(files[:1], "files") != before


def test_a_file_that_has_just_changed_is_not_yet_believed(files: list[Path], tmp_path: Path, read: list[str],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(content, "SETTLED", 60.0)
    FileDigests(tmp_path / "cache").of(files, "files")
    FileDigests(tmp_path / "cache").of(files, "files")
    assert len(read) == 6
    assert not (tmp_path / "cache").exists()


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = content._digest

    def changing(place: Path) -> str:
        found = digest(place)
        place.write_bytes(b"another content")
        return found

    digests = FileDigests(tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(content, "_digest", changing)
        digests.of(files[:1], "files")
    time.sleep(0.02)
    assert digests.of(files[:1], "files") == [hashlib.sha256(b"another content").hexdigest()]


def test_damage_to_the_cache_costs_a_second_reading(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    expected = FileDigests(tmp_path / "cache").of(files, "files")
    kept = tmp_path / "cache" / content.FILE_NAME
    whole = kept.read_bytes()
    for damaged in (whole[:-20], whole.replace(expected[0].encode(), expected[1].encode()), b"", b"[]\n[]\n"):
        kept.write_bytes(damaged)
        assert FileDigests(tmp_path / "cache").of(files, "files") == expected
    assert len(read) == 15
    assert kept.read_bytes() == whole


def test_it_is_bounded_and_what_was_used_last_stays(
    files: list[Path], tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MOST_FILES", 2)
    FileDigests(tmp_path / "cache").of(files[:2], "files")
    FileDigests(tmp_path / "cache").of([files[0], files[2]], "files")
    read.clear()
    FileDigests(tmp_path / "cache").of([files[0], files[2]], "files")
    assert read == []
    FileDigests(tmp_path / "cache").of([files[1]], "files")
    assert read == ["b"]


def test_a_folder_that_cannot_be_written_costs_only_time(
    files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert FileDigests(tmp_path / "cache").of(files[:1], "files") == [hashlib.sha256(b"a" * 1000).hexdigest()]
    assert "read again next time" in caplog.text


def test_what_cannot_be_read_has_no_digest_and_is_not_remembered(files: list[Path], tmp_path: Path) -> None:
    digests = FileDigests(tmp_path / "cache")
    files[1].unlink()
    assert digests.of(files, "files")[1] == UNREADABLE
    files[1].write_bytes(b"back")
    assert digests.of(files, "files")[1] == hashlib.sha256(b"back").hexdigest()


def test_members_of_an_archive_are_hashed_as_they_unpack(tmp_path: Path, read: list[str], files: list[Path]) -> None:
    formats.write_gta5(tmp_path / "set")
    packed = formats.zipped(tmp_path / "set", tmp_path / "a.zip")
    time.sleep(0.02)
    root = ArchivePath(Archives([packed]))
    members = sorted(root.files())
    digests = FileDigests(tmp_path / "cache")
    on_disk = [tmp_path / "set" / member.inside for member in members]
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in on_disk]
    assert digests.of(members, "members") == expected
    count = len(read)
    assert FileDigests(tmp_path / "cache").of(members, "members") == expected
    assert len(read) == count
    assert open_dataset(f"gta5:{packed}").fingerprint() == open_dataset(f"gta5:{tmp_path / 'set'}").fingerprint()


def _take(folder: Path, paths: list[Path]) -> None:
    content.SETTLED = 0.0
    FileDigests(folder).of(paths, "files")


def test_processes_and_threads_share_a_cache(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_take, args=(tmp_path / "cache", [path])) for path in files[:2]]
    for worker in workers:
        worker.start()
        worker.join()  # one after the other: each adds to what the other kept
    FileDigests(tmp_path / "cache").of(files[:2], "files")
    assert read == []
    digests = FileDigests(tmp_path / "cache")
    threads = [threading.Thread(target=digests.of, args=(files, "files")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == ["c"]
