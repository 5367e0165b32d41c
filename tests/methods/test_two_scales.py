"""Self-training on HRDA's network: which levels are learned, with which weights, and by whom the teacher is asked."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from toy import CLASSES, batch, make_method

from acclimate.losses import cross_entropy
from acclimate.models.config import NetworkConfig
from acclimate.models.hrda import HRDA
from acclimate.models.registry import build_network
from acclimate.models.resize import upsample
from acclimate.training.loop import train_step


def network() -> HRDA:
    torch.manual_seed(0)
    config = {
        "name": "hrda",
        "backbone": "torchvision/mobilenet_v2",
        "decoder": "v3plus-light",
        "output_stride": 16,
        "detail": [32, 32],
    }
    built = build_network(NetworkConfig.parse(config), CLASSES)
    assert isinstance(built, HRDA)
    return built


def test_fused_and_detail_are_learned_nine_to_one() -> None:
    method = make_method(
        "dacs", network(), strong=None, mixing="none", masked_consistency={"weight": 0.5, "strong": None}
    )
    source, target = batch(0, size=(64, 96)), batch(1, size=(64, 96), labels=False)
    torch.manual_seed(5)
    weights = {}
    for losses in method.terms(source, target, 0):
        weights |= {name: term.weight for name, term in losses.items() if term.role != "figure"}
    assert weights == {
        "segmentation": pytest.approx(0.9),
        "detail segmentation": pytest.approx(0.1),
        "mixed": pytest.approx(0.9),
        "detail mixed": pytest.approx(0.1),
        "masked": pytest.approx(0.45),
        "detail masked": pytest.approx(0.05),
    }


def test_the_detail_learns_the_labels_of_its_own_part() -> None:
    source = batch(0, size=(64, 96))
    method, alone = make_method("source_only", network()), network()
    torch.manual_seed(5)
    (terms,) = method.losses(source, None, 0)
    torch.manual_seed(5)
    output = alone(source.images)
    level = output.levels["detail"]
    assert source.labels is not None
    assert level.region is not None
    top, left, height, width = level.region
    labels = source.labels[:, top : top + height, left : left + width]
    expected = cross_entropy(upsample(level.logits, (height, width)), labels)
    torch.testing.assert_close(terms["detail segmentation"].value, expected)
    torch.testing.assert_close(
        terms["segmentation"].value, cross_entropy(upsample(output.logits, (64, 96)), source.labels)
    )


def test_the_teacher_sees_the_whole_picture_whatever_is_drawn() -> None:
    method = make_method("dacs", network())
    assert method.teacher is not None
    target = batch(1, size=(64, 96), labels=False)
    torch.manual_seed(1)
    first = method.teacher.pseudo_labels(target.images)
    torch.manual_seed(2)
    assert torch.equal(first.probability, method.teacher.pseudo_labels(target.images).probability)


def test_a_step_of_daformer_on_two_scales() -> None:
    net = network()
    method = make_method("daformer", net, feature_distance=None)
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    fabric = Fabric(accelerator="cpu", devices=1)
    train_step(method, batch(0, size=(64, 96)), batch(1, size=(64, 96), labels=False), 0, fabric=fabric)
    assert all(not torch.equal(parameter, before[name]) for name, parameter in net.named_parameters())
