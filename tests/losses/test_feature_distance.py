"""Distances to a frozen network's features, against loops over cells and values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from acclimate.losses.feature_distance import cells_of_things, feature_alignment, feature_distance


def test_a_cell_belongs_to_a_thing_that_covers_three_quarters_of_it() -> None:
    """Cells of 2x2 pixels; class 1 is a thing, class 0 is not, and void counts as area."""
    labels = torch.tensor([[[1, 1, 1, 1, 0, 0, 255, 1], [1, 1, 1, 0, 0, 0, 255, 1]]])
    assert cells_of_things(labels, [1], (1, 4)).tolist() == [[[True, True, False, False]]]
    assert cells_of_things(labels, [1], (1, 4), share=0.8).tolist() == [[[True, False, False, False]]]
    assert cells_of_things(labels, [0], (1, 4)).tolist() == [[[False, False, True, False]]]
    assert not cells_of_things(labels, [], (1, 4)).any()


def test_two_things_together_do_not_own_a_cell() -> None:
    labels = torch.tensor([[[1, 2], [1, 2]]])
    assert not cells_of_things(labels, [1, 2], (1, 1), share=0.51).any()


def test_cells_equal_counting() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 12, 8)).repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)[:, :32, :24]
    cells = cells_of_things(labels, [0, 2], (8, 6))
    for image in range(2):
        for row in range(8):
            for column in range(6):
                patch = labels[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                owned = any(int((patch == thing).sum()) >= 12 for thing in (0, 2))
                assert cells[image, row, column] == owned
    assert 0 < cells.float().mean() < 1


def test_a_share_that_two_classes_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"above 0\.5"):
        cells_of_things(torch.zeros(1, 2, 2, dtype=torch.int64), [0], (1, 1), share=0.5)


def test_the_distance_is_the_mean_of_norms_over_kept_cells() -> None:
    features = torch.tensor([[[[3.0, 1.0, 9.0]], [[4.0, 1.0, 9.0]]]], dtype=torch.float64)
    reference = torch.tensor([[[[0.0, 1.0, 0.0]], [[0.0, 3.0, 0.0]]]], dtype=torch.float64)
    cells = torch.tensor([[[True, True, False]]])
    assert feature_distance(features, reference, cells).item() == pytest.approx((5.0 + 2.0) / 2)


def test_no_cell_no_gradient_and_equal_features_none_either() -> None:
    features = torch.randn(1, 4, 2, 2, requires_grad=True)
    for reference, cells in (
        (torch.randn(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool)),
        (features.detach().clone(), torch.ones(1, 2, 2, dtype=torch.bool)),
    ):
        loss = feature_distance(features, reference, cells)
        assert loss.item() == 0.0
        (gradient,) = torch.autograd.grad(loss, features)
        assert (gradient == 0).all()


def test_gradients() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    cells = torch.rand(2, 2, 3) < 0.6
    assert gradcheck(lambda values: feature_distance(values, reference, cells), features)
    assert gradcheck(lambda values: feature_alignment(values, reference), features)


def test_alignment_by_hand() -> None:
    """One cell: (3, 4) against (4, 3) has a cosine of 24/25 and smooth-L1 of 0.5 x 1 in both channels."""
    features = torch.tensor([3.0, 4.0], dtype=torch.float64).view(1, 2, 1, 1)
    reference = torch.tensor([4.0, 3.0], dtype=torch.float64).view(1, 2, 1, 1)
    assert feature_alignment(features, reference).item() == pytest.approx(0.1 * 0.5 + 0.9 * (1 - 24 / 25))
    assert feature_alignment(features, reference, cosine=1.0).item() == pytest.approx(1 / 25)


def test_alignment_equals_a_loop_over_cells() -> None:
    torch.manual_seed(0)
    features, reference = torch.randn(2, 3, 2, 2, dtype=torch.float64), 2 * torch.randn(2, 3, 2, 2, dtype=torch.float64)
    total = 0.0
    for image in range(2):
        for row in range(2):
            for column in range(2):
                a, b = features[image, :, row, column].tolist(), reference[image, :, row, column].tolist()
                smooth = [0.5 * (x - y) ** 2 if abs(x - y) < 1 else abs(x - y) - 0.5 for x, y in zip(a, b, strict=True)]
                dot = sum(x * y for x, y in zip(a, b, strict=True))
                norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
                total += 0.1 * sum(smooth) / 3 + 0.9 * (1 - dot / norms)
    assert feature_alignment(features, reference).item() == pytest.approx(total / 8)


def test_alignment_takes_the_references_grid() -> None:
    features = torch.ones(1, 2, 3, 5)
    assert feature_alignment(features, torch.ones(1, 2, 4, 4)).item() == pytest.approx(0.0, abs=1e-6)
