"""One step of any method: what is backpropagated, what is drawn, what is clipped, and in which order it happens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from toy import ToyNetwork, batch, make_method

from acclimate.data.sample import Batch
from acclimate.methods.trainable import Learner, Losses, Term, figure
from acclimate.training import loop
from acclimate.training.loop import step_seed, train_step

FABRIC = Fabric(accelerator="cpu", devices=1)


class Two(Learner[Batch]):
    """Two parameters with an optimiser each, the losses 3 a + 4 b, and whatever else a test yields."""

    def __init__(self, *extra: Losses) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
        self.extra = extra
        self.optimizers = {name: torch.optim.SGD([getattr(self, name)], lr=1.0) for name in ("a", "b")}
        self.drawn: list[float] = []
        self.order: list[str] = []

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        self.drawn.append(torch.rand(()).item())
        yield {"a": Term((self.a * torch.tensor([3.0, 4.0])).sum()), "b": Term(self.b.sum(), 0.5)}
        yield from self.extra

    def after_step(self, step: int) -> None:
        self.order.append("after the step")


def stepped(learner: Two, step: int = 0, **settings: Any) -> dict[str, Term]:
    return train_step(learner, batch(0), None, step, fabric=FABRIC, **settings)


def test_figures_are_recorded_and_never_descended() -> None:
    learner = Two()
    value = (learner.a * 1000).sum()
    learner.extra = ({"share": Term(value, 1.0, "figure")}, {"sure": figure(torch.tensor(0.25))})
    terms = stepped(learner)
    assert learner.a.tolist() == [-3.0, -4.0]
    assert {name: (term.value.item(), term.role) for name, term in terms.items()} == {
        "a": (0.0, "adaptation"),
        "b": (0.0, "adaptation"),
        "share": (0.0, "figure"),
        "sure": (0.25, "figure"),
    }
    assert not any(term.value.requires_grad for term in terms.values())


@pytest.mark.parametrize(("clip", "a", "b"), [(None, 5.0, 0.5), (1.0, 1.0, 0.5), (0.1, 0.1, 0.1)])
def test_each_optimisers_gradients_are_clipped_together(clip: float | None, a: float, b: float) -> None:
    """The gradient of a is (3, 4), of norm 5; that of b is 0.5: what is shorter than the limit stays as it is."""
    learner = Two()
    stepped(learner, clip=clip)
    assert learner.a.norm().item() == pytest.approx(a, rel=1e-5)
    assert (learner.a[1] / learner.a[0]).item() == pytest.approx(4 / 3)
    assert learner.b.norm().item() == pytest.approx(b, rel=1e-5)


def test_what_is_drawn_is_a_function_of_seed_and_step_alone() -> None:
    learner = Two()
    for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
        stepped(learner, step, seed=seed)
        torch.rand(7)
    assert learner.drawn[0] == learner.drawn[3]
    assert len(set(learner.drawn)) == 3


def test_seeds_of_steps_are_the_same_in_every_process_and_version() -> None:
    """From coreutils' b2sum -l 64; processes of one training draw apart."""
    assert step_seed(0, 0, 0) == 5842066033578894005
    assert step_seed(3, 120_000, 1) == 5255864774049281983
    grid = {step_seed(seed, step, rank) for seed in range(10) for step in range(100) for rank in range(4)}
    assert len(grid) == 4000
    assert all(0 <= value < 2**63 for value in grid)


def test_statistics_are_averaged_over_processes_before_a_method_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoProcesses(Fabric):
        world_size = 2  # type: ignore[assignment]

    learner = Two()
    for name in ("average_gradients", "average_running_statistics"):
        monkeypatch.setattr(loop, name, lambda method, fabric, name=name: learner.order.append(name))
    train_step(learner, batch(0), None, 0, fabric=TwoProcesses(accelerator="cpu", devices=1))
    assert learner.order == ["average_gradients", "average_running_statistics", "after the step"]


def test_a_network_referred_to_moves_along_and_is_in_no_state() -> None:
    method = make_method("source_only")
    reference = ToyNetwork()
    before = list(method.method_state()["modules"])
    method.refer_to("pretrained", reference)
    method.to(torch.float64).train()
    assert not any(module.training for module in reference.modules())
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert {value.dtype for value in reference.parameters()} == {torch.float64}
    assert list(method.method_state()["modules"]) == before
    mine = {id(parameter) for parameter in reference.parameters()}
    assert not mine & {id(parameter) for parameter in method.parameters()}
    assert method.references == {"pretrained": reference}


def test_terms_of_weight_zero_are_recorded_alone() -> None:
    learner = Two({"odd": Term(torch.tensor(math.pi, requires_grad=True), 0.0)})
    assert stepped(learner)["odd"].value.item() == pytest.approx(math.pi)


def test_a_figure_told_twice_in_a_step_is_the_last_and_of_parts_the_mean() -> None:
    learner = Two({"share": figure(torch.tensor(0.2))}, {"share": figure(torch.tensor(0.6))})
    assert stepped(learner)["share"].value.item() == pytest.approx(0.6)
    two = train_step(learner, batch(0), None, 0, fabric=FABRIC, accumulate=2)
    assert two["share"].value.item() == pytest.approx(0.6)
