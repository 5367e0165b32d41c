"""ProDA: prototypes, corrected labels and losses by hand, steps against a slow implementation."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from slow_step import CLASSES, SOURCE_SIZE, assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor

from acclimate.losses.prototypes import class_means, divergence, prototype_distances, reverse_cross_entropy
from acclimate.methods.proda import Proda
from acclimate.training.loop import train_step

SMALL = (SOURCE_SIZE[0] // 4, SOURCE_SIZE[1] // 4)


def test_distances_and_means_by_hand() -> None:
    features = torch.tensor([[[[0.0, 3.0]], [[0.0, 4.0]]]], dtype=torch.float64)
    found = prototype_distances(features, torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    assert found[0, :, 0].tolist() == [[0.0, 5.0], [3.0, 4.0]]
    logits = torch.tensor([[[[1.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]]])
    features = torch.tensor([[[[2.0, 7.0, 4.0]]]])
    assert [(c, mean.tolist()) for c, mean in class_means(features, logits, least=1)] == [(0, [3.0]), (1, [7.0])]
    assert [c for c, _ in class_means(features, logits, least=2)] == [0]


def test_reverse_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.9, 0.3], [0.1, 0.7]], dtype=torch.float64).log().view(1, 2, 1, 2)
    found = reverse_cross_entropy(logits, torch.tensor([[[0, 0]]]))
    each = [-(0.9 * math.log(1.0) + 0.1 * math.log(1e-4)), -(0.3 * math.log(1.0) + 0.7 * math.log(1e-4))]
    assert found.item() == pytest.approx(sum(each) / 2)
    assert reverse_cross_entropy(logits, torch.tensor([[[0, 255]]])).item() == pytest.approx(each[0])


def test_the_divergence_is_divided_by_places_and_classes() -> None:
    teacher = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    student = torch.tensor([0.2, 0.4, 0.4], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    expected = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.25 / 0.4)
    one = torch.tensor([[[True, False]]])
    assert divergence(teacher, student, one).item() == pytest.approx(expected / 3)
    assert divergence(teacher, teacher, one).item() == pytest.approx(0.0)


def corrected_by_hand(method: Proda, labelling: Any, teacher: Any, images: Tensor) -> Tensor:
    """argmax of omega times p0, place by place."""
    with torch.no_grad():
        p0 = rows(probabilities(large(labelling(images).logits, SMALL)))
        features = rows(large(teacher(images).features, SMALL))
    labels = []
    for p, f in zip(p0, features, strict=True):
        d = torch.stack([(f - eta).norm() for eta in method.get_buffer("prototypes")])
        omega = torch.exp(-(d - d.min()))
        labels.append(int((omega / omega.sum() * p).argmax()))
    return torch.tensor(labels).view(len(images), *SMALL)


def prepared(**options: Any) -> Proda:
    method = make("proda", **options)
    assert isinstance(method, Proda)
    torch.manual_seed(3)
    method.get_buffer("prototypes").copy_(0.3 * torch.randn(CLASSES, 6))
    method.get_buffer("counts").fill_(200)
    with torch.no_grad():  # a teacher that has moved away from its student
        for parameter in method.teacher.network.parameters():  # type: ignore[union-attr]
            parameter.add_(0.2 * torch.randn_like(parameter))
    return method


def test_a_step_equals_a_slow_implementation() -> None:
    source, target = pair()
    method = prepared(consistency_weight=0.0, cross_entropy_weight=0.3, reverse_weight=0.2, regulariser_weight=0.5)
    teacher, labelling = copy.deepcopy(method.teacher.network), copy.deepcopy(method.network).eval()  # type: ignore[union-attr]
    labels = corrected_by_hand(method, labelling, teacher, target.images)
    with torch.no_grad():
        plain = large(labelling(target.images).logits, SMALL).argmax(dim=1)
    assert 0 < (labels != plain).double().mean() < 1

    def loss(network: Any) -> Tensor:
        total = cross_entropy(large(network(source.images).logits), source.labels)  # type: ignore[arg-type]
        logits = large(network(target.images).logits, SMALL)
        p = rows(probabilities(logits))
        one_hot = torch.nn.functional.one_hot(labels.flatten(), CLASSES).double().clamp(min=1e-4)
        reverse = -(p * one_hot.log()).sum(dim=1).mean()
        return total + 0.3 * cross_entropy(logits, labels) + 0.2 * reverse + 0.5 * -p.log().mean()

    assert_one_step(method, source, target, loss)


def test_both_views_agree_on_prototypes() -> None:
    """Without colours and a hidden square the strong view is the weak one, mirrored perhaps."""
    source, target = pair(count=1)
    method = prepared(consistency_weight=2.0, strong=None, cutout=0.0)
    teacher, alone = copy.deepcopy(method.teacher.network), copy.deepcopy(method.network)  # type: ignore[union-attr]
    prototypes = method.get_buffer("prototypes").clone()
    for terms in method.losses(source, target, 0):
        if "consistency" in terms:
            found = terms["consistency"]
        else:
            state = torch.get_rng_state()
    torch.set_rng_state(state)
    mirrored = bool(torch.rand(1) < 0.5)
    alone(source.images), alone(target.images)
    images = target.images.flip(3) if mirrored else target.images

    def said(features: Tensor) -> Tensor:
        f = rows(large(features, SMALL))
        d = torch.stack([(f - eta).norm(dim=1) for eta in prototypes], dim=1)
        return torch.softmax(-d, dim=1).view(1, *SMALL, CLASSES)

    with torch.no_grad():
        t, s = said(teacher(target.images).features), said(alone(images).features)
    t = t.flip(2) if mirrored else t
    assert found.weight == 2.0
    assert found.value.item() == pytest.approx(float((t * (t / s).log()).mean()), rel=1e-4)


def test_prototypes_are_means_first_and_then_a_moving_average() -> None:
    method = make("proda", least_places=1, mean_until=2, prototype_momentum=0.1)
    assert isinstance(method, Proda)
    features = torch.ones(1, 6, 1, 2, dtype=torch.float64)
    logits = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]]])
    for value in (1.0, 3.0, 12.0):
        method._move_prototypes(value * features, logits, step=0)
    assert method.get_buffer("prototypes")[0, 0].item() == pytest.approx(2 + 0.1 * (12 - 2))
    assert method.get_buffer("counts").tolist() == [3, 0, 0]


def test_gathering_trains_nothing() -> None:
    source, target = pair()
    method = make("proda", gather_steps=1, least_places=1)
    before = copy.deepcopy(method.network.state_dict())
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    assert set(train_step(method, source, target, 0, fabric=fabric)) == {"classes with prototypes"}
    assert all(torch.equal(value, before[key]) for key, value in method.network.state_dict().items())
    assert method.get_buffer("counts").sum() > 0
    assert "consistency" in train_step(method, source, target, 1, fabric=fabric)
