from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from histories import rows_of
from lightning_fabric import Fabric
from toy import ToyNetwork, batch, make_method, target_batch

from acclimate.data.sample import Batch
from acclimate.errors import UserError
from acclimate.methods import METHODS, Method, method_class
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import History, unpacked
from acclimate.training.interrupt import Interrupted, stop_request
from acclimate.training.loop import Fitted, Position, Training, fit
from acclimate.training.settings import TrainingSettings

STEPS = 6


@dataclass
class Sitting:
    """One process's attempt at a training in ``folder``, going on from the newest checkpoint as the stage does."""

    name: str
    folder: Path
    seed: int = 3
    log_every: int = 2
    checkpoint_minutes: float = 5.0
    before_step: Callable[[int], None] = lambda step: None

    def __post_init__(self) -> None:
        self.method: Method = make_method(
            self.name,
            ToyNetwork(multi_level=True, dropout=0.3),
            optimizer=OptimizerSettings(learning_rate=0.02, discriminator_learning_rate=0.01),
        )
        self.checkpoints = Checkpoints(self.folder)
        self.position = Position()
        if (state := self.checkpoints.newest()) is not None:
            self.method.load_method_state(state["method"])
            rows = unpacked(state["history"])
            self.position = Position(step=state["step"], seconds=state["seconds"], history=rows)
        self.first_step = self.position.step

    def run(self) -> Fitted:
        settings = TrainingSettings(
            steps=STEPS, log_every=self.log_every, precision="32-true", checkpoint_minutes=self.checkpoint_minutes
        )
        with History(self.folder, rows=self.position.history) as history:
            training = Training(
                self.method,
                settings=settings,
                fabric=Fabric(accelerator="cpu", devices=1),
                checkpoints=self.checkpoints,
                history=history,
                position=self.position,
                seed=self.seed,
                title="toy",
            )
            return fit(training, self._source(), self._target() if method_class(self.name).sees_target else None)

    def _source(self) -> Iterator[Batch]:
        for step in range(self.first_step, STEPS):
            self.before_step(step)
            yield batch(step)

    def _target(self) -> Iterator[Batch]:
        for step in range(self.first_step, STEPS):
            yield target_batch(step)


def stop_at(step: int, number: int = signal.SIGTERM) -> Callable[[int], None]:
    def before_step(now: int) -> None:
        if now == step:
            os.kill(os.getpid(), number)

    return before_step


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_training_ends_like_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    straight = Sitting(name, tmp_path / "straight")
    straight.run()

    first = Sitting(name, tmp_path / "broken", before_step=stop_at(2))
    with pytest.raises(Interrupted, match="stopped after step 3 of 6"):
        first.run()
    assert [path.name for path in (tmp_path / "broken").glob("*.pt")] == ["state-00000003.pt"]
    second = Sitting(name, tmp_path / "broken")
    assert second.first_step == 3
    torch.manual_seed(12345)  # whatever the new process did before must not matter
    second.run()

    ours, theirs = second.method.state_dict(), straight.method.state_dict()
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key
    broken, whole = (rows_of(tmp_path / folder / "history.csv") for folder in ("broken", "straight"))
    assert broken == whole
    assert [row["step"] for row in whole] == [2, 4, 6]


def test_dropout_is_at_work() -> None:
    """The comparison above would be blind to the random generator otherwise."""
    network = ToyNetwork(dropout=0.3)
    images = batch(0).images
    assert not torch.equal(network(images).logits, network(images).logits)


def test_seeds_differ(tmp_path: Path) -> None:
    weights = []
    for seed in (0, 1):
        sitting = Sitting("source_only", tmp_path / str(seed), seed=seed)
        sitting.run()
        weights.append(sitting.method.network.state_dict()["deep.weight"])
    assert not torch.equal(*weights)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_handlers_are_put_back(number: int, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted):
        Sitting("source_only", tmp_path, before_step=stop_at(0, number)).run()
    assert signal.getsignal(number) is before


def test_a_signal_during_the_last_step_is_no_interruption(tmp_path: Path) -> None:
    Sitting("source_only", tmp_path, before_step=stop_at(STEPS - 1)).run()
    state = Checkpoints(tmp_path).newest()
    assert state is not None
    assert state["step"] == STEPS


def test_a_second_ctrl_c_stops_at_once() -> None:
    with stop_request() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_finished_training_does_nothing_more(tmp_path: Path) -> None:
    first = Sitting("source_only", tmp_path)
    first.run()
    again = Sitting("source_only", tmp_path, before_step=lambda step: pytest.fail("a step was made"))
    fitted = again.run()
    assert fitted.seconds == pytest.approx(first.position.seconds)
    assert [row["step"] for row in rows_of(tmp_path / "history.csv")] == [2, 4, 6]


def test_seconds_add_up_over_sittings(tmp_path: Path) -> None:
    first = Sitting("source_only", tmp_path, before_step=stop_at(2))
    with pytest.raises(Interrupted):
        first.run()
    second = Sitting("source_only", tmp_path)
    assert second.position.seconds == first.position.seconds > 0
    assert second.run().seconds > first.position.seconds


def test_the_last_step_is_saved_and_logged_whatever_the_intervals(tmp_path: Path) -> None:
    Sitting("source_only", tmp_path, log_every=4).run()
    assert [row["step"] for row in rows_of(tmp_path / "history.csv")] == [4, 6]
    assert [path.name for path in tmp_path.glob("*.pt")] == ["state-00000006.pt"]


def test_checkpoints_by_the_clock(tmp_path: Path) -> None:
    found: list[list[str]] = []
    sitting = Sitting(
        "source_only",
        tmp_path,
        checkpoint_minutes=0.0,
        before_step=lambda step: found.append(sorted(path.stem for path in tmp_path.glob("*.pt"))),
    )
    sitting.run()
    assert found[1:4] == [
        ["state-00000001"],
        ["state-00000001", "state-00000002"],
        ["state-00000002", "state-00000003"],
    ]


def test_the_history_is_never_behind_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after a checkpoint was written, a run must find every row up to it."""
    rows: list[int] = []
    save = Checkpoints.save

    def saving(self: Checkpoints, step: int, state: dict[str, object]) -> None:
        save(self, step, state)
        rows.append(int(rows_of(tmp_path / "history.csv")[-1]["step"]) - step)

    monkeypatch.setattr(Checkpoints, "save", saving)
    Sitting("source_only", tmp_path, log_every=1, checkpoint_minutes=0.0).run()
    assert rows == [0] * STEPS


def test_learning_rate_follows_the_schedule(tmp_path: Path) -> None:
    Sitting("source_only", tmp_path, log_every=1).run()
    rates = [row["learning rate"] for row in rows_of(tmp_path / "history.csv")]
    assert rates == pytest.approx([0.02 * (1 - step / STEPS) ** 0.9 for step in range(STEPS)])


@pytest.mark.parametrize("name", ["source_only", "advent"])
def test_a_loss_that_is_no_number_is_named(name: str, tmp_path: Path) -> None:
    sitting = Sitting(name, tmp_path)
    with torch.no_grad():
        next(iter(sitting.method.network.heads()[-1].parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match=r"'segmentation' is nan at step 1, on the images 0-0, 0-1.*: .*learning_rate"):
        sitting.run()


def test_a_diverged_state_is_never_saved(tmp_path: Path) -> None:
    """Also where the step that would be saved is not one that is logged."""
    sitting = Sitting("source_only", tmp_path, log_every=100, checkpoint_minutes=0.0)
    with torch.no_grad():
        next(iter(sitting.method.network.heads()[-1].parameters())).fill_(float("inf"))
    with pytest.raises(UserError, match="at step 1"):
        sitting.run()
    assert list(tmp_path.glob("*.pt")) == []
