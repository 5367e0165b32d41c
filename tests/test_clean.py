"""`acclimate clean` removes caches and stages that no run leads to, and nothing that is not acclimate's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from acclimate.cli.app import app
from acclimate.cli.clean import in_words
from acclimate.io.files import user_cache
from acclimate.io.outputs import claim_folder
from acclimate.pipeline.store import Store, link

OLD, USED, BEGUN = "train-0123456789abcdef", "train-fedcba9876543210", "label-00112233445566aa"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with runs, a store and a user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "runs/.stages"
    claim_folder(root, "store")
    store = Store(root)
    for key in (OLD, USED, BEGUN):
        with store.working_on(key, {}) as folder:
            (folder / "model.safetensors").write_bytes(bytes(1000))
        if key != BEGUN:
            store.finish(key, {})
    claim_folder(tmp_path / "runs/mine", "run")
    link(tmp_path / "runs/mine/1-source", root / USED)
    (root / "cache").mkdir()
    for name in ("0123456789abcdef-images.npy", "0123456789abcdef-stats.json", "notes.txt"):
        (root / "cache" / name).write_bytes(bytes(500))
    user_cache().mkdir(parents=True)
    (user_cache() / "file-digests.jsonl").write_bytes(bytes(2000))
    # what only looks like a store, and what is a user's own in one
    (tmp_path / "runs/other/.stages" / OLD).mkdir(parents=True)
    (tmp_path / "runs/other/.stages" / OLD / "model.safetensors").write_bytes(b"mine")
    (root / "my-notes").mkdir()
    return tmp_path


def cleaned(*words: str, answer: str = "") -> str:
    done = CliRunner().invoke(app, ["clean", *words], input=answer, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def everything(home: Path) -> set[Path]:
    return {path.relative_to(home) for path in home.rglob("*")}


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_nothing_is_removed_unless_the_user_agrees(home: Path, answer: str) -> None:
    before = everything(home)
    shown = cleaned(answer=answer)
    assert f"runs/.stages/{OLD}" in shown
    assert USED not in shown
    assert "1 kB  runs/.stages/cache" in shown
    assert "kept: 1 stages that are begun and not finished" in shown
    assert "nothing removed (--yes" in shown
    assert everything(home) == before


def test_only_what_is_acclimates_and_unused_goes(home: Path) -> None:
    before = everything(home)
    assert "are free again" in cleaned(answer="y\n")
    store = Path("runs/.stages")
    gone = {
        *(path for path in before if store / OLD in (path, *path.parents)),
        store / "cache/0123456789abcdef-images.npy",
        store / "cache/0123456789abcdef-stats.json",
        Path("cache/acclimate/file-digests.jsonl"),
    }
    assert before - everything(home) == gone
    assert cleaned("--yes") == (
        "kept: 1 stages that are begun and not finished, 1 kB (--unfinished lists them too)\nnothing to remove\n"
    )
    cleaned("--yes", "--unfinished")
    assert not (home / store / BEGUN).exists()
    assert (home / "runs/mine/1-source/model.safetensors").exists()


def test_a_link_anywhere_in_the_folders_keeps_a_stage(home: Path) -> None:
    claim_folder(home / "elsewhere/run", "run")
    link(home / "elsewhere/run/1-source", home / "runs/.stages" / OLD)
    assert OLD in cleaned()
    assert OLD not in cleaned("runs", "elsewhere")


def test_what_is_being_worked_on_stays(home: Path) -> None:
    (home / "runs/.stages" / BEGUN / "done.json").write_text("{}")
    with Store(home / "runs/.stages").working_on(BEGUN, {}):
        shown = cleaned("--yes", "--unfinished")
    assert BEGUN not in shown
    assert (home / "runs/.stages" / BEGUN / "model.safetensors").exists()
    assert (home / "runs/.stages/cache/0123456789abcdef-images.npy").exists()  # its loaders read it
    assert not (home / "runs/.stages" / OLD).exists()


def test_a_folder_that_is_not_there_is_told(home: Path) -> None:
    done = CliRunner().invoke(app, ["clean", "rusn"])
    assert "there is no folder rusn" in str(done.exception)


def test_sizes_in_words() -> None:
    assert [in_words(size) for size in (999, 1500, 45_600_000, 1_234_000_000)] == [
        "999 B",
        "1.5 kB",
        "45.6 MB",
        "1.23 GB",
    ]
