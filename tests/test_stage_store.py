from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate.errors import UserError
from acclimate.io.files import read_json
from acclimate.pipeline.store import Store, link

IDENTITY = {"method": "advent", "seed": 0, "training": {"steps": 10, "power": 0.9}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / ".stages")


def test_a_key_is_a_function_of_everything_a_stage_depends_on(store: Store) -> None:
    key = store.key("train", IDENTITY)
    assert key.startswith("train-")
    assert key == store.key("train", dict(reversed(IDENTITY.items())))
    assert key != store.key("label", IDENTITY)
    assert key != store.key("train", IDENTITY | {"seed": 1})
    assert key != store.key("train", IDENTITY | {"training": {"steps": 10, "power": 0.8}})
    assert store.folder(key) == store.root / key


def test_finished_only_once_it_says_so(store: Store) -> None:
    key = store.key("train", IDENTITY)
    assert store.finished(key) is None
    with store.working_on(key, IDENTITY) as folder:
        assert folder.is_dir()
        assert read_json(folder / "stage.json") == IDENTITY
        assert store.finished(key) is None
        store.finish(key, {"steps": 10})
    assert store.finished(key) == {"steps": 10}


@pytest.mark.parametrize("damage", ["gone", "changed", "done.json"])
def test_a_stage_whose_model_is_gone_or_damaged_is_not_done(
    damage: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with store.working_on("train-x", IDENTITY) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "history.csv").write_text("step\n")
        store.finish("train-x", {"steps": 10}, ["model.safetensors"])
    (folder / "history.csv").unlink()  # nothing is made from it
    assert store.finished("train-x") == {"steps": 10}
    if damage == "gone":
        (folder / "model.safetensors").unlink()
    elif damage == "changed":
        (folder / "model.safetensors").write_bytes(b"weighty")
    else:
        (folder / "done.json").write_text("[1]")
    assert store.finished("train-x") is None
    assert "the stage is done again" in caplog.text
    assert (folder / "done.json").exists()  # to look is not to change: another process may hold the stage
    with store.working_on("train-x", IDENTITY):
        assert not (folder / "done.json").exists()
        assert (folder / "model.safetensors").exists() == (damage == "done.json")


def test_a_failed_stage_is_not_finished_and_can_be_taken_up_again(store: Store) -> None:
    with pytest.raises(RuntimeError), store.working_on("train-x", IDENTITY):
        raise RuntimeError
    assert store.finished("train-x") is None
    with store.working_on("train-x", IDENTITY):
        pass


TAKE = """
import sys
from pathlib import Path
from acclimate.errors import UserError
from acclimate.pipeline.store import Store

try:
    with Store(Path(sys.argv[1])).working_on("train-x", {}):
        print("mine", flush=True)
        if len(sys.argv) > 2:
            sys.stdin.read()
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks there")
def test_a_second_process_is_refused_until_the_first_ends(store: Store) -> None:
    def take() -> str:
        command = [sys.executable, "-c", TAKE, str(store.root)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with store.working_on("train-x", {}) as folder:
        refused = take()
        assert f"another process is working on {folder}" in refused
        assert "--store" in refused
        with store.working_on("train-y", {}):
            pass  # another stage is free
    assert take() == "mine\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks there")
def test_a_killed_process_holds_nothing(store: Store) -> None:
    command = [sys.executable, "-c", TAKE, str(store.root), "and wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(UserError, match="another process"), store.working_on("train-x", {}):
            pass
        other.kill()
    with store.working_on("train-x", {}):
        pass


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot make .*choose another folder"),
        Store(tmp_path / "file").working_on("x", {}),
    ):
        pass


def test_a_lock_that_cannot_be_opened(store: Store) -> None:
    (store.root / "train-x" / "lock").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*lock"), store.working_on("train-x", {}):
        pass


def test_links_survive_moving_the_runs(tmp_path: Path) -> None:
    stage = tmp_path / "runs" / ".stages" / "train-x"
    stage.mkdir(parents=True)
    (stage / "done.json").write_text("{}")
    link(tmp_path / "runs" / "demo" / "1-base", stage)
    os.rename(tmp_path / "runs", tmp_path / "moved")
    assert (tmp_path / "moved" / "demo" / "1-base" / "done.json").read_text() == "{}"


def test_a_link_is_replaced_and_a_folder_is_not(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        link(tmp_path / "run" / "1-base", tmp_path / name)
        link(tmp_path / "run" / "1-base", tmp_path / name)
        assert (tmp_path / "run" / "1-base").resolve() == (tmp_path / name).resolve()
    (tmp_path / "run" / "2-mine").mkdir()
    with pytest.raises(UserError, match=r"2-mine exists and is not a link"):
        link(tmp_path / "run" / "2-mine", tmp_path / "one")
