"""Pixels of rare classes that count more, in every cross-entropy on labels of people."""

from __future__ import annotations

import math

import pytest
import torch
from toy import ToyNetwork, batch, make_method

from acclimate.data.sample import Batch
from acclimate.labels import VOID
from acclimate.methods import method_options
from acclimate.methods.source_only import SourceOnly

RATIOS = (0.5, 0.3, 0.2)
"""Of the setting that ``make_method`` gives."""


def slow_loss(network: ToyNetwork, source: Batch) -> float:
    """Pixel by pixel, with the factors written out."""
    factors = [1 / math.log(1.02 + ratio) for ratio in RATIOS]
    mean = sum(ratio * factor for ratio, factor in zip(RATIOS, factors, strict=True))
    logits = torch.nn.functional.interpolate(
        network(source.images).logits, source.images.shape[-2:], mode="bilinear", align_corners=True
    )
    assert source.labels is not None
    total, count = 0.0, 0
    for scores, label in zip(logits.permute(0, 2, 3, 1).reshape(-1, 3), source.labels.flatten(), strict=True):
        if label != VOID:
            total -= factors[label] / mean * scores.log_softmax(0)[label].item()
            count += 1
    return total / count


def test_the_source_loss_equals_a_slow_one() -> None:
    network = ToyNetwork()
    source = batch(0)
    assert source.labels is not None
    source.labels[:, :3] = VOID
    method = make_method("source_only", network, class_weights="logarithmic")
    (losses,) = method.terms(source, None, 0)
    network.train()
    assert losses["segmentation"].value.item() == pytest.approx(slow_loss(network, source), rel=1e-5)


def test_pseudo_labels_count_alike() -> None:
    """A class that is rare and guessed would otherwise be learned most where it is wrong."""
    found = {}
    for weights in ("none", "logarithmic"):
        method = make_method("dacs", ToyNetwork(), class_weights=weights, mixing="none", strong=None)
        target = batch(50, labels=False)
        taught = method.taught(target)
        losses = method.taught_losses(
            "mixed", target.images, taught, labels=taught.labels, weights=taught.weights, weight=1.0
        )
        target.labels = taught.labels
        own = make_method("minent", ToyNetwork(), class_weights=weights)
        output = own.target_output(target)
        found[weights] = losses["mixed"].value.item(), own.pseudo_labels(output, target)["pseudo-labels"].value.item()
    assert found["logarithmic"] == found["none"]


def test_the_ratios_are_asked_for() -> None:
    assert not SourceOnly.needs(method_options("source_only", {}))
    assert SourceOnly.needs(method_options("source_only", {"class_weights": "logarithmic"})) == {"class ratios"}
