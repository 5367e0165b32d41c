from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from acclimate.training.checkpoint import Checkpoints


def state(step: int) -> dict[str, Any]:
    return {"seconds": float(step), "method": {"modules": {"weight": torch.full((3,), float(step))}}}


@pytest.fixture
def two(tmp_path: Path) -> Checkpoints:
    """Checkpoints of steps 10 and 20."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(10, state(10))
    checkpoints.save(20, state(20))
    return checkpoints


def newest(tmp_path: Path) -> Path:
    return tmp_path / "state-00000020.pt"


def vouch_for(path: Path) -> None:
    """Gives a file the checksum it would have, had acclimate written it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"step": 20, "sha256": digest}))


def test_the_newest_comes_back_whole(two: Checkpoints, caplog: pytest.LogCaptureFixture) -> None:
    restored = two.newest()
    assert restored is not None
    assert restored["step"] == 20
    assert restored["seconds"] == 20.0
    assert torch.equal(restored["method"]["modules"]["weight"], torch.full((3,), 20.0))
    assert not caplog.records


def test_nothing_where_there_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).newest() is None
    assert Checkpoints(tmp_path / "absent").newest() is None


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_the_checksum(path: Path) -> None:
    path.with_suffix(".json").unlink()


def garble_the_checksum(path: Path) -> None:
    path.with_suffix(".json").write_text("[1, 2")


def checksum_of_another_kind(path: Path) -> None:
    path.with_suffix(".json").write_text("[1, 2]")


def truncated_yet_vouched_for(path: Path) -> None:
    truncate(path)
    vouch_for(path)


def foreign(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 this is no checkpoint at all" * 10)
    vouch_for(path)


def text(path: Path) -> None:
    path.write_text("step: 20\n")
    vouch_for(path)


def another_thing(path: Path) -> None:
    torch.save([1, 2, 3], path)
    vouch_for(path)


def another_step(path: Path) -> None:
    torch.save({"step": 7, **state(7)}, path)
    vouch_for(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        flip_a_bit,
        lose_the_checksum,
        garble_the_checksum,
        checksum_of_another_kind,
        truncated_yet_vouched_for,
        foreign,
        text,
        another_thing,
        another_step,
        directory,
    ],
)
def test_a_damaged_one_is_named_and_the_older_one_is_used(
    damage: Any, two: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(newest(tmp_path))
    with caplog.at_level(logging.WARNING):
        restored = two.newest()
    assert restored is not None
    assert restored["step"] == 10
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(newest(tmp_path)) in caplog.text


class Bomb:
    """Unpickling it touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("container", ["pickle", "torch", "torch-legacy"])
def test_a_pickle_bomb_does_nothing(
    container: str, two: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crater, path = tmp_path / "crater", newest(tmp_path)
    if container == "pickle":
        path.write_bytes(pickle.dumps(Bomb(crater)))
    else:
        torch.save({"step": 20, "method": Bomb(crater)}, path, _use_new_zipfile_serialization=container == "torch")
    vouch_for(path)
    restored = two.newest()
    assert not crater.exists()
    assert restored is not None
    assert restored["step"] == 10
    assert str(path) in caplog.text
    pickle.loads(pickle.dumps(Bomb(crater)))  # noqa: S301  (the bomb is real)
    assert crater.is_dir()


def test_only_the_newest_two_are_kept(two: Checkpoints, tmp_path: Path) -> None:
    two.save(30, state(30))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "state-00000020.json",
        "state-00000020.pt",
        "state-00000030.json",
        "state-00000030.pt",
    ]


def test_a_new_state_outlives_damaged_later_ones(two: Checkpoints, tmp_path: Path) -> None:
    """Both states are damaged, training begins anew: its first checkpoint must not be taken for the oldest of three."""
    flip_a_bit(newest(tmp_path))
    flip_a_bit(tmp_path / "state-00000010.pt")
    assert two.newest() is None
    two.save(5, state(5))
    restored = two.newest()
    assert restored is not None
    assert restored["step"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-00000005.json", "state-00000005.pt"]


def test_files_of_other_names_are_left_alone(two: Checkpoints, tmp_path: Path) -> None:
    (tmp_path / "state-mine.pt").write_bytes(b"not ours")
    two.save(30, state(30))
    two.save(40, state(40))
    restored = two.newest()
    assert restored is not None
    assert restored["step"] == 40
    assert (tmp_path / "state-mine.pt").read_bytes() == b"not ours"
    assert len(list(tmp_path.glob("state-0*.pt"))) == 2


def test_what_a_killed_process_left_half_written_is_cleared_away(two: Checkpoints, tmp_path: Path) -> None:
    leftover, foreign = tmp_path / ".state-00000030.pt.acclimate-1-0a1b2c3d.tmp", tmp_path / ".notes.tmp"
    leftover.write_bytes(b"half")
    foreign.write_bytes(b"the user's")
    two.save(30, state(30))
    assert not leftover.exists()
    assert foreign.exists()


SAVING = """
import resource, sys, torch
from pathlib import Path
from acclimate.training.checkpoint import Checkpoints

state = {"method": {f"tensor {i}": torch.full((4 << 20,), float(i)) for i in range(16)}}  # 16 x 16 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Checkpoints(Path(sys.argv[1])).save(1, state)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="units of the memory used differ")
def test_saving_a_state_takes_no_second_copy_of_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SAVING, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64  # MB, of 256
    restored = Checkpoints(tmp_path).newest()
    assert restored is not None
    assert bool((restored["method"]["tensor 15"] == 15).all())


def test_steps_beyond_eight_digits_are_still_in_order(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(99_999_999, state(1))
    checkpoints.save(100_000_000, state(2))
    restored = checkpoints.newest()
    assert restored is not None
    assert restored["step"] == 100_000_000


def test_clear_removes_states_and_nothing_else(two: Checkpoints, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("step\n")
    two.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
