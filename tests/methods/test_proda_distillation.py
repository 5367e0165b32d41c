"""ProDA's distillations: the divergence by hand, a step against a slow implementation, who teaches whom."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from slow_step import CLASSES, SOURCE_SIZE, assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor
from toy import ToyNetwork

from acclimate.losses.distillation import distillation_loss
from acclimate.methods.proda_distillation import ProdaDistillation
from acclimate.methods.strong_view import strong_view
from acclimate.training.loop import step_seed

SMALL = (SOURCE_SIZE[0] // 4, SOURCE_SIZE[1] // 4)


def test_the_divergence_is_divided_by_places_and_classes() -> None:
    teacher = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.4, 0.4]], dtype=torch.float64).log().T.view(1, 3, 1, 2)
    student = torch.tensor([[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]], dtype=torch.float64).log().T.view(1, 3, 1, 2)
    expected = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.25 / 0.4)  # the second place agrees
    assert distillation_loss(teacher, student).item() == pytest.approx(expected / 6)
    # the code: t (log t - p)
    first = 0.5 * (math.log(0.5) - 0.2) + 2 * 0.25 * (math.log(0.25) - 0.4)
    second = 0.2 * (math.log(0.2) - 0.2) + 2 * 0.4 * (math.log(0.4) - 0.4)
    assert distillation_loss(teacher, student, logarithm=False).item() == pytest.approx((first + second) / 6)


def test_a_teacher_that_agrees_pulls_nowhere_but_without_the_logarithm() -> None:
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for logarithm in (True, False):
        student = logits.clone().requires_grad_()
        distillation_loss(logits, student, logarithm=logarithm).backward()  # type: ignore[no-untyped-call]
        assert student.grad is not None
        assert (student.grad.abs().max() < 1e-12) == logarithm


def prepared(**options: Any) -> ProdaDistillation:
    """A student that has moved away from its teacher."""
    method = make("proda_distillation", **options)
    assert isinstance(method, ProdaDistillation)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return method


@pytest.mark.parametrize("logarithm", [True, False])
def test_a_step_equals_a_slow_implementation(logarithm: bool) -> None:
    source, target = pair(labels=True)
    method = prepared(distillation_weight=0.7, pseudo_label_weight=0.6, logarithm=logarithm)
    teacher = copy.deepcopy(method.references["labelling"])
    torch.manual_seed(step_seed(0, 0, 0))
    fill = method.network.preprocessing.mean_colour
    view = strong_view(target.images, strong=method.options.strong, cutout=1 / 3, fill=fill)
    assert not view.visible.all()
    labels = torch.full((2, *SMALL), 255)
    for image in range(2):
        for row in range(SMALL[0]):
            for column in range(SMALL[1]):
                y = round(row * (SOURCE_SIZE[0] - 1) / (SMALL[0] - 1))
                x = round(column * (SOURCE_SIZE[1] - 1) / (SMALL[1] - 1))
                if view.visible[image, y, x]:
                    at = SOURCE_SIZE[1] - 1 - x if view.mirrored[image] else x
                    labels[image, row, column] = target.labels[image, y, at]  # type: ignore[index]
    assert 0 < (labels == 255).double().mean() < 1

    def loss(network: Any) -> Tensor:
        total = cross_entropy(large(network(source.images).logits), source.labels)  # type: ignore[arg-type]
        logits = large(network(view.images).logits, SMALL)
        p = rows(probabilities(logits))
        with torch.no_grad():
            t = rows(probabilities(large(teacher(view.images).logits, SMALL)))
        apart = (t * (t.log() - (p.log() if logarithm else p))).sum() / (len(t) * CLASSES)
        return total + 0.6 * cross_entropy(logits, labels) + 0.7 * apart

    assert_one_step(method, source, target, loss)


def test_the_view_turns_labels_as_it_turns_images() -> None:
    images = torch.rand(4, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    view = strong_view(images, strong=None, cutout=0.5, fill=torch.zeros(1, 3, 1, 1))
    assert 0 < view.mirrored.sum() < 4
    red = view.turned(images[:, 0])
    assert torch.equal(view.images[:, 0], torch.where(view.visible, red, 0.0))
    assert (~view.visible).sum(dim=(1, 2)).max() == 16


@pytest.mark.parametrize("student", ["start", "initial"])
def test_the_teacher_is_what_the_stage_starts_from(student: str) -> None:
    method, started, initial = make("proda_distillation", student=student), ToyNetwork(), ToyNetwork(seed=5)
    begins = started if student == "start" else initial
    for network, wanted in ((method.network, begins), (method.references["labelling"], started)):
        assert isinstance(network, ToyNetwork)
        assert torch.equal(network.stem.weight, wanted.stem.weight.double())
    assert ("initial network" in type(method).needs(method.options)) == (student == "initial")
    assert not any(key.startswith("labelling") for key in method.state_dict())
