from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch
from test_fit import Sitting, stop_at
from toy import ToyNetwork, batch, make_method

from acclimate.doctor.findings import FINDINGS, read_findings
from acclimate.errors import UserError
from acclimate.methods.trainable import KEPT_SHARE, Role
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.interrupt import Interrupted
from acclimate.training.warnings import LONG, TrainingWarnings, ensure_finite, ensure_finite_state


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "acclimate.training.warnings"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_names_step_loss_and_images(value: float) -> None:
    record = {"segmentation": torch.tensor(1.0), "entropy": torch.tensor(value)}
    with pytest.raises(UserError, match=rf"the loss 'entropy' is {value} at step 7, on the images town/a, town/b: "):
        ensure_finite(record, 7, names=["town/a", "town/b"])
    ensure_finite({"segmentation": torch.tensor(1.0)}, 7, names=["a"])


def test_a_state_that_is_no_number_is_named() -> None:
    good = {"modules": {"w": torch.ones(2), "n": torch.tensor(3)}, "optimizers": [{"lr": 0.1}]}
    ensure_finite_state(good, 3)
    with pytest.raises(UserError, match=r"modules\.w holds values that are no numbers after step 3"):
        ensure_finite_state({"modules": {"w": torch.tensor([1.0, math.inf])}}, 3)


def test_diverging_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """Weights turn to NaN in step 4 although every loss is finite: step 3 is what stays."""
    sitting = Sitting("source_only", tmp_path, checkpoint_minutes=0.0)
    after_step = sitting.method.after_step

    def poison(step: int) -> None:
        after_step(step)
        if step == 3:
            with torch.no_grad():
                sitting.method.network.heads()[-1].weight[0, 0] = math.nan  # type: ignore[index]

    sitting.method.after_step = poison  # type: ignore[method-assign]
    with pytest.raises(UserError, match="last good checkpoint is kept"):
        sitting.run()
    state = Checkpoints(tmp_path).newest()
    assert state is not None
    assert state["step"] == 3


ROLES: dict[str, Role] = {"segmentation": "supervised", "discriminator main on source": "discriminator"}


def discriminator_rows(value: float, count: int) -> list[dict[str, float]]:
    name = "discriminator main on source"
    return [{"step": float(step), "segmentation": 1.0, name: value} for step in range(1, count + 1)]


@pytest.mark.parametrize(
    ("value", "count", "sign"),
    [
        (0.001, LONG, "has won"),
        (0.001, LONG - 1, None),
        (math.log(2), LONG, "at chance"),
        (math.log(2) - 0.01, LONG, None),
        (0.3, LONG, None),
    ],
)
def test_a_collapsed_discriminator(
    value: float, count: int, sign: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    warnings = TrainingWarnings(make_method("advent"), rows=discriminator_rows(value, count))
    with caplog.at_level(logging.WARNING):
        warnings.look(ROLES)
        warnings.look(ROLES)
    messages = told(caplog)
    assert len(messages) == (sign is not None), "told once"
    assert sign is None or sign in messages[0]


@pytest.mark.parametrize(("share", "sign"), [(0.002, "next to nothing"), (0.4, None), (0.995, "everything")])
def test_a_teacher_sure_of_nothing_or_of_everything(
    share: float, sign: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"step": float(step), KEPT_SHARE: share} for step in range(LONG)]
    warnings = TrainingWarnings(make_method("source_only"), rows=rows)
    warnings.look({KEPT_SHARE: "figure"})
    assert [sign in message for message in told(caplog) if sign] == [True] * (sign is not None)


def test_chance_of_the_least_squares_loss(caplog: pytest.LogCaptureFixture) -> None:
    method = make_method("adaptsegnet", adversarial_loss="least-squares")
    TrainingWarnings(method, rows=discriminator_rows(0.25, LONG)).look(ROLES)
    assert "at chance (0.250)" in told(caplog)[0]


def test_a_class_that_vanishes_from_the_predictions(caplog: pytest.LogCaptureFixture) -> None:
    network = ToyNetwork()
    method = make_method("source_only", network)
    warnings = TrainingWarnings(method, rows=[])
    bias = network.head.bias
    assert bias is not None
    for favourite in [2] * LONG + [0] * LONG:
        with torch.no_grad():
            bias.fill_(0.0)
            bias[favourite] = 50.0
        assert not told(caplog)
        with warnings.predictions(active=True):
            network(batch(0).images)
        with warnings.predictions(active=False):
            network(batch(0).images)
        warnings.look(ROLES)
    assert len(told(caplog)) == 1
    assert "car (100.0 % of the pixels) was predicted earlier in this training" in told(caplog)[0]


def test_looking_leaves_no_hook_and_changes_nothing(tmp_path: Path) -> None:
    rare, often = Sitting("advent", tmp_path / "a", log_every=100), Sitting("advent", tmp_path / "b", log_every=1)
    rare.run()
    often.run()
    assert not often.method.network._forward_hooks
    for key, value in rare.method.state_dict().items():
        assert torch.equal(often.method.state_dict()[key], value), key


def test_the_notice_of_a_batch_system_is_a_request_to_stop(tmp_path: Path) -> None:
    import signal

    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("there is no SIGUSR1 here")
    with pytest.raises(Interrupted, match="stopped after step 2"):
        Sitting("source_only", tmp_path, before_step=stop_at(1, signal.SIGUSR1)).run()


def test_what_was_said_is_kept_and_not_said_again_by_a_training_that_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = discriminator_rows(0.001, LONG)
    TrainingWarnings(make_method("advent"), rows=rows, folder=tmp_path).look(ROLES)
    (kept,) = read_findings(tmp_path / FINDINGS)
    assert (kept.kind, kept.step) == ("discriminator won", LONG)
    TrainingWarnings(make_method("advent"), rows=rows, folder=tmp_path).look(ROLES)
    assert len(told(caplog)) == 1
    # one that begins anew knows nothing of it
    TrainingWarnings(make_method("advent"), rows=[], folder=tmp_path)
    assert read_findings(tmp_path / FINDINGS) == []
