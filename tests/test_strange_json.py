"""JSON that nests without an end, is of another type or comes from a pipe: one message from whatever reads it."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from acclimate.cli.app import main
from acclimate.data.content import _remembered
from acclimate.detection.checkpoint import load_detector
from acclimate.errors import UserError
from acclimate.evaluation.scores import read_results
from acclimate.io.checksums import read_verified_json
from acclimate.io.outputs import MARK, claim_file, made_by
from acclimate.io.reading import json_of, parsed_json
from acclimate.models.checkpoint import load_network
from acclimate.models.modules import load_modules
from acclimate.models.weights import read_tensors
from acclimate.pipeline.store import Store
from acclimate.report.reading import read_history
from acclimate.translation.apply import load_generator

STRANGE = ["[" * 200_000, '{"a":' * 200_000, "[]", "3", "null", '"text"', "{", "NaN", ""]


class WithModules:
    """A method that goes on with a module of an earlier stage."""

    def saved_modules(self) -> dict[str, nn.Module]:
        return {"classifier": nn.Linear(2, 2)}


JSON_READERS: dict[str, Callable[[Path], Any]] = {
    "results.json": read_results,
    "manifest.json": read_verified_json,
    MARK: lambda path: made_by(path.parent),
    "annotations.json": lambda path: {}[json_of(path)],  # what reads it says what it lacks
}
CARD_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "model": ("acclimate", load_network),
    "detector": ("acclimate", load_detector),
    "generator": ("acclimate-translator", load_generator),
    "modules": ("acclimate-modules", lambda path: load_modules(path, WithModules())),
    "weights": ("acclimate-weights", read_tensors),
}


def with_card(path: Path, card: str, *, key: str) -> Path:
    """A safetensors file without a tensor, whose card is any text."""
    header = json.dumps({"__metadata__": {key: card}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@pytest.mark.parametrize("text", [*STRANGE[:2], "{", ""], ids=lambda text: text[:6])
def test_text_that_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting"):
        parsed_json(text)


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:6])
@pytest.mark.parametrize("name", [name for name in JSON_READERS if name != "annotations.json"])
def test_a_file_of_acclimates(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name.removeprefix(".")):
        JSON_READERS[name](tmp_path / name)


def test_a_message_does_not_repeat_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(list(range(100_000))))
    with pytest.raises(UserError) as caught:
        read_results(tmp_path / "results.json")
    assert len(str(caught.value)) < 1000


def test_a_name_without_end_does_not_flood_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text("name: " + ":".join(["1"] * 100_000))
    monkeypatch.setattr(sys, "argv", ["acclimate", "run", str(tmp_path / "r.yaml")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert len(capsys.readouterr().err) < 10_000


@pytest.mark.parametrize("text", STRANGE[:-2], ids=lambda text: text[:6])
@pytest.mark.parametrize("kind", CARD_READERS)
def test_a_card_in_a_file_of_weights(kind: str, text: str, tmp_path: Path) -> None:
    key, read = CARD_READERS[kind]
    path = with_card(tmp_path / "it.safetensors", text, key=key)
    with pytest.raises(UserError, match=r"it\.safetensors"):
        read(path)


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:6])
def test_a_stage_with_it_is_not_done(text: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "train-x").mkdir()
    (tmp_path / "train-x/done.json").write_text(text)
    assert store.finished("train-x") is None


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:6])
def test_what_is_remembered_of_files_is_looked_at_again(text: str, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"{text}\n{{}}\n")
    assert _remembered(tmp_path / "known") == {}


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:6])
@pytest.mark.parametrize("kind", ["scores", "weights"])
def test_it_is_never_taken_for_an_own_output(kind: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    if kind == "weights":
        with_card(path, text, key="acclimate")
    else:
        path.write_text(text)
    before = path.read_bytes()
    with pytest.raises(UserError, match="it"):
        claim_file(path, kind)
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [*JSON_READERS.values(), read_history], ids=[*JSON_READERS, "history.csv"])
def test_a_pipe_is_not_waited_for(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / MARK
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"a pipe, a socket or a device"):
        read(path)
