"""What a teacher's labels count, by hand."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from acclimate.losses.confidence import Margins, confidence_weights, inside_margins

CONFIDENCE = torch.tensor([[[0.99, 0.968], [0.5, 0.97]], [[0.3, 0.4], [1.0, 0.96]]])


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("pixel", [[[1, 1], [0, 1]], [[0, 0], [1, 0]]]),
        ("image", [[[0.75] * 2] * 2, [[0.25] * 2] * 2]),
        ("batch", [[[0.5] * 2] * 2] * 2),
        ("none", [[[1] * 2] * 2] * 2),
    ],
)
def test_weights(per: str, expected: list[list[list[float]]]) -> None:
    weights = confidence_weights(CONFIDENCE, threshold=0.968, per=per)  # type: ignore[arg-type]
    assert weights.tolist() == expected
    assert weights.dtype == CONFIDENCE.dtype


def test_margins_are_per_cent_of_each_side() -> None:
    """3 and 25 per cent of 20 rows are 1 (0.6 rounded) and 5; 10 per cent of 10 columns are 1."""
    inside = inside_margins((20, 10), Margins(top=3, bottom=25, left=10))
    for row in range(20):
        for column in range(10):
            assert inside[row, column] == (1 <= row < 15 and column >= 1)


def test_no_margins_leave_everything() -> None:
    assert inside_margins((3, 4), Margins()).all()


def test_margins_that_meet_leave_nothing() -> None:
    assert not inside_margins((10, 10), Margins(top=60, bottom=60)).any()


def test_an_unknown_side_or_a_whole_picture_is_refused() -> None:
    for values in ({"above": 1.0}, {"top": 100.0}, {"left": -1.0}):
        with pytest.raises(ValidationError):
            Margins(**values)
