"""What the doctor measures, on maps small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.stages.measured import blind_accuracy, similarity


def maps(*rows: list[int]) -> list[np.ndarray]:
    return [np.array([row], dtype=np.uint8) for row in rows]


def test_similarity_over_all_pairs() -> None:
    # pairs agree on 2, 1 and 0 of two pixels' worth: (0,1)=(0,1), (0,1)~(0,0), (0,1)~(0,0)
    assert similarity(maps([0, 1], [0, 1], [0, 0]), classes=2) == pytest.approx((2 + 1 + 1) / 6)
    assert similarity(maps([0, 255], [0, 255]), classes=2) == 1.0, "void agrees with nothing and is not asked for"
    assert similarity(maps([0, 1]), classes=2) == 0.0


def test_who_sees_nothing_says_what_the_others_are_at_each_place() -> None:
    # first place: 0 0 0 1, so that the three are right (two others say 0, one 1) and the fourth is wrong
    # second place: 0 0 1 1, where every one is outvoted by the others
    found = blind_accuracy(maps([0, 0], [0, 0], [0, 1], [1, 1]), classes=2)
    assert found == pytest.approx(3 / 8)
    assert blind_accuracy(maps([0], [0], [0]), classes=2) is None
    assert blind_accuracy(maps([255], [255], [255], [255]), classes=2) is None
