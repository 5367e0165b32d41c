"""Spatial priors of tiny label maps by hand, and what they do to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.data.registry import open_dataset
from acclimate.data.spatial_prior import normalised_prior, spatial_prior
from acclimate.models.network import Level, Output
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.thresholds import Selection


def test_counts_are_scaled_by_each_classs_maximum() -> None:
    counts = np.zeros((3, 2, 3))
    counts[0] = [[4, 2, 0], [1, 0, 0]]
    counts[1] = [[0, 1, 1], [0, 0, 1]]
    prior = normalised_prior(counts, deviation=0)
    np.testing.assert_allclose(prior[0], [[1, 0.5, 0], [0.25, 0, 0]])
    np.testing.assert_allclose(prior[1], [[0, 1, 1], [0, 0, 1]])
    assert (prior[2] == 1).all(), "nothing is known of a class the source lacks"


def test_smoothing_is_a_gaussian_cut_at_two_deviations() -> None:
    counts = np.zeros((1, 1, 7))
    counts[0, 0, 3] = 1
    weights = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    inside = [weights[-3:].sum(), weights[-4:].sum(), weights.sum()]  # of kernels cut by the border
    smooth = np.array([0, weights[0] / inside[1], weights[1] / inside[2], weights[2] / inside[2]])
    expected = np.concatenate([smooth, smooth[-2::-1]]) / smooth.max()
    np.testing.assert_allclose(normalised_prior(counts, deviation=1)[0, 0], expected, rtol=1e-6)


def test_a_uniform_class_has_a_uniform_prior() -> None:
    np.testing.assert_allclose(normalised_prior(np.full((1, 9, 11), 5.0), deviation=2), 1.0, rtol=1e-6)


def test_it_is_counted_once_and_cached(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    data = open_dataset("scenes:render,images=4,size=64x32")
    prior = spatial_prior(data, tmp_path, size=(32, 16))
    assert prior.shape == (len(data.class_space), 16, 32)
    monkeypatch.setattr(type(data), "label", lambda self, index: pytest.fail("counted again"))
    assert (spatial_prior(data, tmp_path, size=(32, 16)) == prior).all()


class Constant(torch.nn.Module):
    """Probabilities 0.6, 0.3, 0.1 everywhere."""

    def forward(self, images: torch.Tensor) -> Output:
        logits = torch.tensor([0.6, 0.3, 0.1]).log().view(1, 3, 1, 1).expand(len(images), 3, 2, 2)
        return Output({"main": Level(logits.clone())})


def test_probabilities_are_multiplied_and_not_renormalised() -> None:
    prior = torch.ones(3, 2, 2)
    prior[0, :, 0], prior[1, :, 1] = 0.25, 0.0
    selection = Selection(confidence="softmax", rule="portion", decision="class-balanced")
    scoring = Scoring(selection, prior=prior)
    maps = scoring.score(Constant(), torch.zeros(1, 3, 2, 2), names=["a"], size=(2, 2))  # type: ignore[arg-type]
    assert maps.prediction[0].tolist() == [[1, 0], [1, 0]]
    assert maps.probabilities is not None
    torch.testing.assert_close(maps.probabilities[0, :, 0, 0], torch.tensor([0.15, 0.3, 0.1]))
    torch.testing.assert_close(maps.uncertainty["softmax"][0, 0], torch.tensor([1 - 0.3, 1 - 0.6]))
    even = torch.tensor([0.15, 0.3, 0.1]) / 0.55
    entropy = -(even * even.log()).sum() / np.log(3)
    torch.testing.assert_close(maps.uncertainty["entropy"][0, 0, 0], entropy.float())


def test_the_published_kernel_is_70_of_2048_pixels_wide() -> None:
    """Cut at two deviations on either side, it spans four of them: 17.5 pixels of a map as wide as the picture."""
    counts = np.zeros((1, 1, 2048))
    counts[0, 0, 1024] = 1
    prior = normalised_prior(counts)[0, 0]
    assert np.flatnonzero(prior).tolist() == list(range(1024 - 35, 1024 + 36))
    assert prior[1024 + 35] == pytest.approx(np.exp(-2), rel=1e-5)
    counts = np.zeros((1, 1, 512))
    counts[0, 0, 256] = 1
    assert np.count_nonzero(normalised_prior(counts)) == 2 * 9 + 1, "a quarter of it, rounded, on smaller maps"
