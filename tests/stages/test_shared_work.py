"""Labelling, scoring, translating and predicting by several processes: the files of one process, bit by bit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.cli import several
from acclimate.data.class_spaces import class_space
from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.inputs import inputs_named
from acclimate.evaluation.model import load
from acclimate.evaluation.protocols import PROTOCOLS
from acclimate.io.progress import Tracker
from acclimate.models.checkpoint import ModelCard, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.pseudo.ranking import EasySplit
from acclimate.pseudo.sisc import Patches
from acclimate.pseudo.thresholds import Selection
from acclimate.stages.evaluate import EvaluateRequest, LabelFree, evaluate
from acclimate.stages.label import LabelRequest, label, sweep_table
from acclimate.stages.label_passes import Labelling, Scored
from acclimate.stages.predict import Wanted, predict_inputs
from acclimate.stages.translate import TranslateRequest, _finish, _function, _write_images
from acclimate.training.team import ALONE, Team
from acclimate.translation.settings import CycleGanOptions, TranslationTraining, Writing
from team_of_threads import in_a_team

SIZE = (64, 32)
IMAGES = 7


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    space = class_space("scenes")
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="small", width=8), len(space))
    for parameter in network.heads()[0].parameters():
        parameter.data.mul_(30)  # sure of many pixels
    card = ModelCard(
        network=network.config, classes=space.classes, colours=space.colours, class_space=space.name, input_size=SIZE
    )
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_network(path, network, card=card)
    return path


@pytest.fixture(scope="module")
def data() -> Dataset:
    return open_dataset(f"scenes:camera,images={IMAGES},size=64x32")


@pytest.fixture(scope="module")
def unlabelled(data: Dataset) -> Dataset:
    """Without the curves that true labels are good for, which take longer than the labels."""
    return without_labels(data)


def without_labels(data: Dataset) -> Dataset:
    bare = Subset(data, range(len(data)))
    bare.has_labels = False
    return bare


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def request_for(checkpoint: Path, data: Dataset, **further: Any) -> LabelRequest:
    request = LabelRequest((checkpoint,), data, class_space("scenes"), Selection(), Inference(size=SIZE))
    return replace(request, **further)


KINDS: dict[str, dict[str, Any]] = {
    "batches of three, labels known": {"batch_size": 3},
    "split": {"split": EasySplit(share=0.5)},
    "patches, nothing kept": {"patches": Patches(patches=2, size=(0.5, 0.5)), "scores_on_disk": 0.0},
    "native, class-balanced": {
        "native": True,
        "selection": Selection(confidence="softmax", rule="portion", decision="class-balanced"),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_do_not_depend_on_how_many_write_them(
    checkpoint: Path, data: Dataset, tmp_path: Path, kind: str
) -> None:
    known = "known" in kind
    request = request_for(checkpoint, data if known else without_labels(data), **KINDS[kind])
    label(request, folder=tmp_path / "one", device="cpu")
    alone = files_of(tmp_path / "one")
    assert {"manifest.json", "figure.png", "started.json"} < alone.keys()
    assert len(alone) == IMAGES + 3 + known, "nothing is left of the passes"
    for size in (2,) if known else (2, 3):
        folder = tmp_path / str(size)
        in_a_team(size, lambda team, folder=folder: label(request, folder=folder, device="cpu", team=team))
        assert files_of(folder) == alone


def test_each_image_is_predicted_by_one_process(
    checkpoint: Path, unlabelled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = predicted(monkeypatch)
    in_a_team(2, lambda team: label(request_for(checkpoint, unlabelled), folder=tmp_path, device="cpu", team=team))
    assert sorted(number for _, number in seen[:-3]) == list(range(IMAGES))
    assert sorted(rank for rank, _ in seen[-3:]) == [0, 0, 1], "the figure's images are shared, too"


def test_a_free_process_does_not_wait_for_a_slow_one() -> None:
    behind = threading.Event()

    def taken(team: Team) -> list[int]:
        found = []
        bar = Tracker("letters", 8)
        for place in team.handed_out(range(8), bar):
            assert bar.done >= place
            found.append(place)
            if place == 0:  # stays at the first until another process has had all the others
                assert behind.wait(timeout=60)
            elif place == 7:
                behind.set()
        assert bar.done == 8
        return found

    shares = in_a_team(3, taken)
    assert sorted(place for share in shares for place in share) == list(range(8))
    assert [0] in shares


class Stopped(Exception):
    """What ends a command in the middle, as a kill would."""


def predicted(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[tuple[int, int]]:
    """(process, image) of everything that networks see from now on; ends the process that comes to ``stop_at``."""
    seen: list[tuple[int, int]] = []
    scored = Labelling.scored

    def noted(self: Labelling, block: range) -> Any:
        if stop_at in block:
            raise Stopped
        seen.extend((self.team.rank, number) for number in block)
        return scored(self, block)

    monkeypatch.setattr(Labelling, "scored", noted)
    monkeypatch.setattr("acclimate.stages.label_passes.SECONDS_BETWEEN_SAVES", 0.0)
    return seen


@pytest.mark.parametrize("begun_by", [3, 1])
@pytest.mark.parametrize("gone_on_by", [2, 1])
def test_a_killed_labelling_goes_on_with_another_number_of_processes(
    checkpoint: Path,
    unlabelled: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begun_by: int,
    gone_on_by: int,
) -> None:
    request = request_for(checkpoint, unlabelled)
    label(request, folder=tmp_path / "whole", device="cpu")

    def some(team: Team) -> Any:
        return label(request, folder=tmp_path / "cut", device="cpu", team=team)

    with monkeypatch.context() as patch:
        before = predicted(patch, stop_at=4)
        with pytest.raises(Stopped):
            in_a_team(begun_by, some)
    assert 0 < len(before) < IMAGES
    with monkeypatch.context() as patch:
        after = predicted(patch)
        # killed again, in the second pass
        write = "acclimate.pseudo.store.PseudoLabelFolder.write"
        patch.setattr(write, _failing_at(unlabelled.names[5]))
        with pytest.raises(Stopped):
            in_a_team(gone_on_by, some)
    assert sorted(number for _, number in before + after) == list(range(IMAGES)), "none twice, none left out"
    in_a_team(gone_on_by, some)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def _failing_at(name: str) -> Callable[..., None]:
    from acclimate.pseudo.store import PseudoLabelFolder

    write = PseudoLabelFolder.write

    def failing(self: PseudoLabelFolder, image: str, values: Any) -> None:
        if image == name:
            raise Stopped
        write(self, image, values)

    return failing


def test_places_that_overlap_are_counted_anew(checkpoint: Path, unlabelled: Dataset, tmp_path: Path) -> None:
    request = request_for(checkpoint, unlabelled)
    label(request, folder=tmp_path / "whole", device="cpu")
    kept: dict[str, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acclimate.stages.label_passes.SECONDS_BETWEEN_SAVES", 0.0)
        patch.setattr(Labelling, "scored_again", _stopped)
        with pytest.raises(Stopped):
            label(request, folder=tmp_path / "cut", device="cpu")
        kept = files_of(tmp_path / "cut")
    (tmp_path / "cut/first-pass-5.safetensors").write_bytes(kept["first-pass-0.safetensors"])
    label(request, folder=tmp_path / "cut", device="cpu")
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def _stopped(*_: Any, **__: Any) -> Scored:
    raise Stopped


def test_the_sweep_of_several_processes(checkpoint: Path, data: Dataset) -> None:
    request = request_for(checkpoint, data)
    alone = sweep_table(request, device="cpu")
    assert in_a_team(2, lambda team: sweep_table(request, device="cpu", team=team)) == [alone, ""]


def test_scores_do_not_depend_on_how_many_score(checkpoint: Path, data: Dataset, tmp_path: Path) -> None:
    source = open_dataset("scenes:render,images=4,size=64x32")
    request = EvaluateRequest(
        "toy", "toy", 0, [checkpoint], None, data, PROTOCOLS["scenes"], class_space("scenes"),
        {"target": data, "source": source}, 3, LabelFree(data, source, 5), 2,
    )  # fmt: skip

    def scored(team: Team, folder: Path) -> Any:
        return evaluate(request, folder=folder, title="evaluate", team=team).model_copy(update={"peak_memory_mb": 0.0})

    alone = scored(ALONE, tmp_path / "one")
    assert alone.boundaries is not None
    assert alone.boundaries.near.entropy is not None
    assert set(alone.label_free or {}) >= {"mean entropy", "class-ratio divergence"}
    rows = in_a_team(3, lambda team: scored(team, tmp_path / "three"))
    assert rows == [alone] * 3
    pictures = files_of(tmp_path / "one/pictures")
    assert len(pictures) == 1 + 6 * 4
    assert files_of(tmp_path / "three/pictures") == pictures


def test_translated_images_are_written_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = (open_dataset(f"scenes:{look},images=5,size=64x32") for look in ("render", "camera"))
    request = TranslateRequest(
        "histogram", CycleGanOptions(), TranslationTraining(steps=1), Writing(), source, target, None, seed=0
    )
    written: list[str] = []
    from acclimate.stages import translate

    save = translate.save_picture
    monkeypatch.setattr(
        translate, "save_picture", lambda path, picture: (written.append(path.name), save(path, picture))
    )

    def translated(team: Team, folder: Path) -> None:
        _write_images(request, _function(request, folder, device="cpu"), folder, team)
        if team.first:
            _finish(request, folder)

    translated(ALONE, tmp_path / "one")
    assert len(written) == 5
    (tmp_path / "two/images").mkdir(parents=True)
    there = f"images/{source.names[2]}.png"
    (tmp_path / "two" / there).write_bytes((tmp_path / "one" / there).read_bytes())
    written.clear()
    in_a_team(2, lambda team: translated(team, tmp_path / "two"))
    assert sorted(written) == sorted(f"{name}.png" for name in source.names if name != source.names[2])
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def test_predictions_do_not_depend_on_how_many_predict(checkpoint: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(5):
        size = (32, 64, 3) if number != 2 else (48, 64, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / f"photos/{number}.png")
    model, wanted = load(checkpoint, device="cpu"), Wanted(["overlay", "entropy"], batch=2)

    def predicted_by(team: Team, folder: Path) -> list[Path]:
        inputs = inputs_named([tmp_path / "photos"], folder, claim=team.first)
        team.meet()
        return list(predict_inputs(model, inputs, output=folder, wanted=wanted, team=team))

    alone = predicted_by(ALONE, tmp_path / "one")
    shares = in_a_team(2, lambda team: predicted_by(team, tmp_path / "two"))
    assert sorted(path.name for share in shares for path in share) == [path.name for path in alone]
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is tried on POSIX systems")
def test_two_processes_find_the_same_fault_and_one_tells_it(checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "acclimate", "label", str(checkpoint), "--data", "scenes:nowhere"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "labels"), "--processes", "2"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1


def test_what_another_process_says_of_its_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = tmp_path / "1.txt"
    said.write_text("label: scores: 3/9\nerror: photos/7.png is cut short\n")
    several._tell(1, 2, said)
    several._tell(1, -9, said)
    assert capsys.readouterr().err.splitlines() == [
        "error: photos/7.png is cut short",
        "process 1 was ended by SIGKILL",
    ]


def test_only_a_command_line_is_started_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    several.in_several_processes(1)
    monkeypatch.setattr(several, "command_line", [])
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(UserError, match="torchrun"):
        several.in_several_processes(2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    several.in_several_processes(2)
