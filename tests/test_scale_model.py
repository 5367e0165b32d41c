"""The model of scale against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acclimate.pseudo.histogram import bins_for
from scale_model import Assumed, Figures, hidden_from, labelling, ring, training

FIGURES = Figures(step=1.0, backward=0.5, images_per_step=4, gradients=1000, label=2.0, image=0.5, read=10)
ASSUMED = Assumed(bandwidth=1.0, latency=100, storage=1.0)


def test_a_ring_by_hand() -> None:
    assert ring(1000, 1, ASSUMED) == 0
    assert ring(1000, 2, ASSUMED) == pytest.approx(1.0 + 2 * 1e-4)
    assert ring(1000, 4, ASSUMED) == pytest.approx(1.5 + 6 * 1e-4)


def test_training_waits_for_what_the_backward_pass_does_not_hide() -> None:
    assert training(FIGURES, ASSUMED, 1).speed == 4
    two = training(FIGURES, ASSUMED, 2)
    assert two.speed == pytest.approx(8 / (1.0 + 1.0002 - 0.5))
    assert two.efficiency == pytest.approx(two.speed / 8)
    assert two.limit == "network"
    fast = replace(ASSUMED, bandwidth=4.0)
    assert training(FIGURES, fast, 2).efficiency == 1
    assert training(FIGURES, fast, 2).limit == "compute"
    assert hidden_from(FIGURES, fast, 2) == pytest.approx((0.25 + 2e-4) / 0.5)


def test_loaders_and_storage_limit_too() -> None:
    fast = replace(ASSUMED, bandwidth=1e6, latency=0)
    assert training(replace(FIGURES, read=3), fast, 8).speed == 24
    assert training(replace(FIGURES, read=3), fast, 8).limit == "loaders"
    many = training(FIGURES, fast, 1000)
    assert (many.speed, many.limit) == (2000, "storage")


def test_labels_are_shared_and_histograms_exchanged() -> None:
    plain = labelling(FIGURES, replace(ASSUMED, bandwidth=1e9, latency=0), 8, images=81, classes=19)
    assert plain.speed == pytest.approx(81 / 22)  # 11 images for the one that has most
    assert plain.limit == "compute"
    histograms = 2 * 19 * bins_for(19) * 8 / 1e6
    slow = labelling(FIGURES, replace(ASSUMED, bandwidth=1e-3, latency=0), 2, images=2, classes=19)
    assert slow.speed == pytest.approx(2 / (2.0 + histograms))
    assert slow.limit == "network"
