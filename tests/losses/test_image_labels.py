"""Image-level labels and their loss, by hand (MLSL eq. 4, 5 and the rule for c_pwl)."""

from __future__ import annotations

import math

import pytest
import torch

from acclimate.losses.image_labels import class_shares, image_label_loss, image_labels

LABELS = torch.tensor([[[0, 0, 0, 1], [0, 0, 255, 2]], [[2, 2, 2, 2], [255, 255, 255, 255]]])


def test_shares_count_void_as_no_class() -> None:
    expected = [[5 / 8, 1 / 8, 1 / 8, 0], [0, 0, 4 / 8, 0]]
    torch.testing.assert_close(class_shares(LABELS, 4), torch.tensor(expected))


def test_a_class_is_present_above_eta_times_its_mean_size() -> None:
    shares = torch.tensor([[0.5, 0.015625, 0.02, 0.0], [0.0, 0.016, 0.0, 0.0]])
    sizes = torch.tensor([0.4, 0.25, 0.5, 0.0])
    assert image_labels(shares, sizes, eta=0.0625).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert image_labels(shares, sizes, eta=0.0625, inclusive=True).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0]]
    assert image_labels(shares, sizes, eta=0.0).tolist() == [[1, 1, 1, 0], [0, 1, 0, 0]], "eta 0: any pixel"
    assert image_labels(shares, sizes, eta=0.0, inclusive=True).tolist() == [[1, 1, 1, 0], [0, 1, 0, 0]]


def test_the_loss_is_the_mean_over_classes_and_images() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = image_label_loss(logits, labels)
    expected = -(math.log(0.5) + math.log(0.25) + math.log(0.75) + math.log(0.5)) / 4
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (logits.detach().sigmoid() - labels) / 4)


def test_certain_logits_stay_finite() -> None:
    assert image_label_loss(torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]])).item() == pytest.approx(200)
