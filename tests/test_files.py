from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from acclimate.errors import UserError
from acclimate.io.files import (
    atomic,
    hash_of,
    hash_of_file,
    read_json,
    remove_leftovers,
    write_bytes,
    write_json,
    write_text,
)


def test_content_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.bin"
    with atomic(path) as temporary:
        temporary.write_bytes(b"content")
        assert not path.exists()
        assert temporary.parent == path.parent  # so that the renaming stays on one file system
    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_nothing_is_left_behind_when_the_block_fails(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_text("new")
            raise error("no")

    with pytest.raises((error, UserError)):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_can_be_shared(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_bytes(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


@pytest.mark.parametrize("private", ["safetensors", "replaced"])
def test_files_can_be_shared_whoever_wrote_them(private: str, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic(tmp_path / "file") as temporary:
            if private == "safetensors":
                save_file({"x": torch.zeros(3)}, temporary)
            else:
                descriptor, name = tempfile.mkstemp(dir=tmp_path)
                os.close(descriptor)
                os.replace(name, temporary)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_names_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".png")
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


WRITING = """
import os, sys, time
from pathlib import Path
from acclimate.io.files import atomic

with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks")
def test_leftovers_of_the_killed_are_removed_and_nothing_else(tmp_path: Path) -> None:
    swept, outside = tmp_path / "swept", tmp_path / "outside"
    (swept / "er").mkdir(parents=True)
    outside.mkdir()
    (swept / "link").symlink_to(outside)
    foreign = [swept / name for name in (".mine.tmp", ".a.0a1b2c3d.tmp", "x.acclimate-1-0a1b2c3d.tmp", "er/.b.tmp")]
    foreign.append(outside / ".x.acclimate-1-00000000.tmp")
    dead = [swept / ".results.json.acclimate-99-0a1b2c3d.tmp", swept / "er/.x.acclimate-1-ffffffff.tmp"]
    for path in [*foreign, *dead]:
        path.write_text("half")
    command = [sys.executable, "-c", WRITING, str(swept / "er/busy")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        busy = Path(process.stdout.readline().strip())
        remove_leftovers(swept)
        assert busy.exists()  # its writer lives
        assert not any(path.exists() for path in dead)
        assert all(path.exists() for path in foreign)
        process.kill()
    remove_leftovers(swept, deep=False)
    assert busy.exists()
    remove_leftovers(swept)
    assert not busy.exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from acclimate.errors import UserError
from acclimate.io.files import write_bytes

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
write_bytes(path, b"old")
try:
    write_bytes(path, bytes(5000))
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert f"cannot write {path}: " in done.stdout
    assert "free some space or choose another folder" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_the_users_business(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/inside"):
        write_text(tmp_path / "file" / "inside", "")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"b": [1, None, 0.5], "a": "ü"})
    assert read_json(path) == {"b": [1, None, 0.5], "a": "ü"}
    assert path.read_text().endswith("\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, float("nan"))
    assert read_json(path)["a"] == "ü"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000], ids=["empty", "open", "utf-16", "deep"]
)
def test_what_is_not_json_names_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(UserError, match=r"file\.json .*(cannot be read as JSON|is not UTF-8)"):
        read_json(tmp_path / "file.json")
    with pytest.raises(UserError, match=r"none\.json"):
        read_json(tmp_path / "none.json")


def test_hashes_are_stable() -> None:
    """The names of finished stages are made of these: a change here forgets every result there is."""
    assert hash_of({"b": [1, 2.5, None, True], "a": {"x": "y"}}) == "410031c839f51c66"
    assert hash_of({"a": {"x": "y"}, "b": [1, 2.5, None, True]}) == "410031c839f51c66"
    assert hash_of({"a": {"x": "y"}, "b": [1, 2.5, None, False]}) != "410031c839f51c66"
    assert hash_of([1, 2]) != hash_of([2, 1])
    assert hash_of(1) != hash_of("1")


def test_hash_of_a_large_file(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "file").write_bytes(content)
    assert hash_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_folder_in_the_place_of_a_file_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "results.json" / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match=r"results.json: (Is a directory|.*); choose another place") as caught:
        write_text(tmp_path / "results.json", "x")
    assert "free some space" not in str(caught.value)
