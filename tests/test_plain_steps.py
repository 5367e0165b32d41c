"""The plain loops that acclimate's steps are timed against compute the same step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from acclimate.training.loop import step_seed
from plain_steps import Step, advent, self_training
from step_cases import Case, batches, built_network, case, our_step

SIZE = (96, 64)
UNCHANGED: dict[str, Any] = {"strong": None}
"""Both draw their colours and blurs in ways of their own."""


def compared(chosen: Case, plain: Step, *, steps: int = 3) -> None:
    """Losses of some steps, which depend on all that the steps before moved; labels of near-ties may flip."""
    ours = our_step(chosen, precision="32-true")
    source, target = batches(chosen)
    for step in range(steps):
        torch.manual_seed(step_seed(0, step, 0))
        expected = plain(source, target)
        found = ours()
        for name, value in expected.items():
            assert float(found[name]) == pytest.approx(float(value), rel=2e-3, abs=1e-7), (step, name)


def test_advent() -> None:
    chosen = case("advent", source=SIZE, target=SIZE, tiny=True)
    chosen = replace(chosen, optimizer={"learning_rate": 2.5e-4})
    torch.manual_seed(0)
    compared(chosen, advent(built_network(chosen), learning_rate=2.5e-4, classes=19))


@pytest.mark.parametrize("masked", [False, True], ids=["dacs", "mic"])
def test_self_training(masked: bool) -> None:
    chosen = case("mic" if masked else "dacs", source=SIZE, target=SIZE, images=2, tiny=True)
    options = UNCHANGED | ({"masked_consistency": UNCHANGED} if masked else {})
    # random networks are sure of nothing: without a threshold, the teacher's labels count
    options["teacher"] = {"threshold": 0.0}
    chosen = replace(chosen, options=options, optimizer={"learning_rate": 2.5e-4})
    plain = self_training(built_network(chosen), learning_rate=2.5e-4, masked=masked, strong=None, threshold=0.0)
    compared(chosen, plain)


def test_vfm_uda() -> None:
    chosen = case("vfm-uda", source=SIZE, target=SIZE, tiny=True)
    options = UNCHANGED | {"masked_consistency": UNCHANGED, "teacher": {"threshold": 0.0, "decay": 0.99, "flip": True}}
    optimizer = {"learning_rate": 1e-4, "kind": "adamw", "weight_decay": 0.01}
    chosen = replace(chosen, options=options, optimizer=optimizer)
    plain = self_training(
        built_network(chosen), learning_rate=1e-4, masked=True, flip=True, strong=None, adamw=True, threshold=0.0
    )
    compared(chosen, plain)
