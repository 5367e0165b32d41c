"""The contract of every registered method: killed at any step, or while a checkpoint is written, nothing is lost."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from test_fit import STEPS, Sitting

from acclimate.methods import METHODS
from acclimate.training import checkpoint
from acclimate.training.checkpoint import Checkpoints


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the loop may catch it to tidy up."""


def sitting(name: str, folder: Path, **changes: Any) -> Sitting:
    return Sitting(name, folder, log_every=1, checkpoint_minutes=0.0, **changes)


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """The places at which two nested states differ, bit for bit."""
    if isinstance(theirs, torch.Tensor):
        if theirs.is_floating_point():  # a term that a step did not have is no number in the history
            same = torch.equal(ours.isnan(), theirs.isnan()) and torch.equal(ours.nan_to_num(), theirs.nan_to_num())
        else:
            same = torch.equal(ours, theirs)
        return [] if ours.dtype == theirs.dtype and same else [where]
    if isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            return [f"{where}: keys"]
        return [found for key in theirs for found in differences(ours[key], theirs[key], f"{where}.{key}")]
    if isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return [f"{where}: length"]
        pairs = zip(ours, theirs, strict=True)
        return [found for at, pair in enumerate(pairs) for found in differences(*pair, f"{where}.{at}")]
    return [] if ours == theirs else [where]


def last_state(folder: Path) -> dict[str, Any]:
    state = Checkpoints(folder).newest()
    assert state is not None
    assert state.pop("seconds") > 0
    state.pop("images")
    return state


def finish(name: str, folder: Path, whole: Path) -> None:
    """Goes on to the end and compares everything with the uninterrupted training."""
    torch.manual_seed(987)  # whatever the new process did before must not matter
    sitting(name, folder).run()
    assert differences(last_state(folder), last_state(whole)) == []
    assert list(folder.glob(".*")) == []
    assert (folder / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


@pytest.mark.parametrize("name", METHODS)
def test_killed_at_any_step(name: str, tmp_path: Path) -> None:
    sitting(name, tmp_path / "whole").run()
    with open(tmp_path / "whole/history.csv", newline="") as stream:
        assert [int(row["step"]) for row in csv.DictReader(stream)] == list(range(1, STEPS + 1))

    def kill_at(step: int) -> Any:
        def before_step(now: int) -> None:
            if now == step:
                raise Killed

        return before_step

    for step in range(1, STEPS):
        folder = tmp_path / str(step)
        first = sitting(name, folder, before_step=kill_at(step))
        with pytest.raises(Killed):
            first.run()
        assert last_state(folder)["step"] == step
        finish(name, folder, tmp_path / "whole")


@pytest.mark.parametrize("part", ["half of the state", "no checksum"])
@pytest.mark.parametrize("name", METHODS)
def test_killed_while_a_checkpoint_is_written(
    name: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sitting(name, tmp_path / "whole").run()
    atomic, write_json = checkpoint.atomic, checkpoint.write_verified_json

    @contextmanager
    def half(path: Path) -> Iterator[Path]:
        with atomic(path) as temporary:
            yield temporary
            if "00000004" in path.name:
                content = temporary.read_bytes()
                left = path.parent / f".{path.name}.acclimate-1-0badcafe.tmp"
                left.write_bytes(content[: len(content) // 2])
                raise Killed

    def none(path: Path, content: Any) -> None:
        if "00000004" in path.name:
            raise Killed
        write_json(path, content)

    folder = tmp_path / "cut"
    first = sitting(name, folder)
    with monkeypatch.context() as patch:
        if part == "no checksum":
            patch.setattr(checkpoint, "write_verified_json", none)
        else:
            patch.setattr(checkpoint, "atomic", half)
        with pytest.raises(Killed):
            first.run()
    assert last_state(folder)["step"] == 3
    finish(name, folder, tmp_path / "whole")


def test_the_comparison_sees_single_bits() -> None:
    state = {"a": [torch.zeros(2), {"b": 1}]}
    assert differences(state, {"a": [torch.zeros(2), {"b": 1}]}) == []
    assert differences({"a": [torch.tensor([0.0, 1e-45]), {"b": 1}]}, state) == [".a.0"]
    assert differences({"a": [torch.zeros(2), {"b": 2}]}, state) == [".a.1.b"]
    assert differences({"a": [torch.zeros(2), {"c": 1}]}, state) == [".a.1: keys"]
