from __future__ import annotations

import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from histories import rows_of

from acclimate.errors import UserError
from acclimate.training.history import History, packed, unpacked
from acclimate.training.trackers import Lightning, TensorBoard


def written(folder: Path) -> None:
    with History(folder) as history:
        for step in (10, 20, 30):
            history.add(step, {"segmentation": 1 / step, "learning rate": 0.1}, speed={"images per second": 5.0})
        history.save()


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    written(tmp_path)
    assert (tmp_path / "history.csv").read_text() == (
        "step,segmentation,learning rate\n10,0.1,0.1\n20,0.05,0.1\n30,0.03333333333333333,0.1\n"
    )
    assert rows_of(tmp_path / "history.csv")[2] == {"step": 30, "segmentation": 1 / 30, "learning rate": 0.1}


def test_a_resumed_history_goes_on_from_its_checkpoint_whatever_the_file_says(tmp_path: Path) -> None:
    written(tmp_path)
    before = unpacked(packed([row for row in rows_of(tmp_path / "history.csv") if row["step"] <= 20]))
    (tmp_path / "history.csv").write_text('step,"\0nonsense\n')
    with History(tmp_path, rows=before) as history:
        history.add(30, {"segmentation": 9.0, "learning rate": 0.1})
        history.save()
    assert [(row["step"], row["segmentation"]) for row in rows_of(tmp_path / "history.csv")] == [
        (10, 0.1),
        (20, 0.05),
        (30, 9.0),
    ]


def test_a_training_that_begins_anew_has_no_past(tmp_path: Path) -> None:
    written(tmp_path)
    with History(tmp_path) as history:
        assert history.rows == []


def test_a_checkpoint_keeps_rows_exactly() -> None:
    rows = [{"step": 1.0, "a": 1 / 3}, {"step": 2.0, "a": 1e-300, "b": -0.0}, {"step": 3.0, "c": 2.0}]
    assert unpacked(packed(rows)) == rows
    assert unpacked(packed([])) == []


def test_rows_may_hold_different_losses(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        history.add(1, {"a": 1.0})
        history.add(2, {"a": 2.0, "b": 3.0})
        history.save()
    assert rows_of(tmp_path / "history.csv") == [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0, "b": 3.0}]


def test_tensorboard_shows_speed_too(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with History(tmp_path, trackers=[TensorBoard(tmp_path, first=1)]) as history:
        history.add(10, {"segmentation": 0.5}, speed={"images per second": 5.0})
        history.add(20, {"segmentation": 0.25}, speed={"images per second": 6.0})
    time.sleep(1.1)  # event files are read in the order of their names, which begin with the second of their birth
    before = [{"step": 10.0, "segmentation": 0.5}]
    frame = np.zeros((4, 6, 3), dtype=np.uint8)
    with History(tmp_path, rows=before, trackers=[TensorBoard(tmp_path, first=11)]) as history:
        history.add(20, {"segmentation": 0.75}, speed={"images per second": 7.0})
        history.show(20, {"target a": frame})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("segmentation")] == [(10, 0.5), (20, 0.75)]
    assert [(e.step, e.value) for e in events.Scalars("images per second")] == [(10, 5.0), (20, 7.0)]
    (picture,) = events.Images("target a")
    assert (picture.step, picture.height, picture.width) == (20, 4, 6)


class LightningLogger:
    """What a logger of Lightning's was told."""

    def __init__(self, **named: Any) -> None:
        self.named, self.told = named, []
        self.experiment, self.run_id = self, "run"

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.told.append((step, values))

    def log_image(self, *where: Any, **options: Any) -> None:
        self.told.append((options["step"], where[0] if "key" not in options else options["key"]))

    def finalize(self, status: str) -> None:
        self.told.append((status,))

    def finish(self) -> None:
        self.told.append(("finished",))


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_wandb_and_mlflow_are_told_by_lightnings_loggers(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers = types.ModuleType("pytorch_lightning.loggers")
    loggers.WandbLogger = loggers.MLFlowLogger = LightningLogger  # type: ignore[attr-defined]
    package = types.ModuleType("pytorch_lightning")
    package.loggers = loggers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch_lightning", package)
    tracker = Lightning(kind, tmp_path, name="advent (stage 2 of 2, seed 0)")
    with History(tmp_path, trackers=[tracker]) as history:
        history.add(10, {"segmentation": 0.5}, speed={"images per second": 5.0})
        history.show(10, {"target a": np.zeros((4, 6, 3), dtype=np.uint8)})
    told = tracker._logger.told
    assert told[0] == (10, {"segmentation": 0.5, "images per second": 5.0})
    assert told[1] == (10, "target a")
    assert told[2] == ("success",)


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(UserError, match=r"training\.tracker=wandb needs .*pip install 'acclimate\[wandb\]'"):
        Lightning("wandb", tmp_path, name="m")


FULL_DISK = """
import contextlib, resource, signal, sys
from pathlib import Path
from acclimate.errors import UserError
from acclimate.training.history import History
from acclimate.training.trackers import TensorBoard

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
board = TensorBoard(Path(sys.argv[1]), first=1)
with History(Path(sys.argv[1]), trackers=[board]) as history:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
    try:
        for step in range(200):
            history.add(step, {"segmentation": 0.5})
            with contextlib.suppress(OSError):
                board._writer.flush()  # otherwise only every two minutes
    except UserError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_the_users_business(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert f"cannot write {tmp_path / 'tensorboard'}: " in done.stdout
