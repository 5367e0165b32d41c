"""Class-balanced draws: which classes an image shows, FADA's weights by hand, and positions as pure functions."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acclimate.data.loading import batches
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.sampling import ClassBalanced, class_presence, class_weights
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import Subset


def presence() -> NDArray[np.bool_]:
    """Forty images: class 0 on all, class 1 on half, class 2 on two of them, class 3 nowhere."""
    table = np.zeros((40, 4), dtype=bool)
    table[:, 0] = True
    table[::2, 1] = True
    table[[7, 21], 2] = True
    return table


def test_weights_by_hand() -> None:
    assert class_weights(np.zeros(3)).tolist() == pytest.approx([1 / 3] * 3)
    weights = class_weights(np.array([6.0, 3.0, 1.0]))
    raw = [1 / math.log(1.61), 1 / math.log(1.31), 1 / math.log(1.11)]
    assert weights.tolist() == pytest.approx([value / sum(raw) for value in raw])


def test_rare_classes_are_drawn_far_more_often_than_they_occur() -> None:
    images = ClassBalanced(presence(), seed=0).draw(0)
    share = float(np.isin(images, [7, 21]).mean())
    assert share > 0.3  # 5 % of the images
    assert abs(int((images == 7).sum()) - int((images == 21).sum())) <= 60  # its list is gone through in turn


def test_a_position_is_a_pure_function_of_the_seed() -> None:
    sampler, again = ClassBalanced(presence(), seed=3, sub_epoch=50), ClassBalanced(presence(), seed=3, sub_epoch=50)
    drawn = [sampler(position) for position in range(150)]
    assert [again(position) for position in reversed(range(150))] == drawn[::-1]
    assert drawn[:50] == sampler.draw(0).tolist()
    assert drawn[50:100] == sampler.draw(1).tolist() != drawn[:50]
    assert [ClassBalanced(presence(), seed=4, sub_epoch=50)(position) for position in range(150)] != drawn
    assert copy.deepcopy(sampler)(17) == drawn[17]


def test_batches_follow_it() -> None:
    dataset = Subset(ScenesDataset("render", split="train", size=(32, 16)), range(6))
    shown = class_presence(dataset)
    assert shown.shape == (6, len(dataset.class_space))
    for index in range(6):
        ids = set(np.unique(dataset.label(index)).tolist()) - {255}
        assert set(np.flatnonzero(shown[index]).tolist()) == ids
    sampler = ClassBalanced(shown, seed=1)
    stream = batches(dataset, transform=Transform(), batch_size=2, seed=1, first_step=1, steps=4, sampler=sampler)
    names = [name for batch in stream for name in batch.names]
    assert names == [dataset.names[sampler(position)] for position in range(2, 8)]


def test_presence_is_kept_by_fingerprint(tmp_path: Path) -> None:
    dataset = Subset(ScenesDataset("render", split="train", size=(32, 16)), range(3))
    first = class_presence(dataset, tmp_path)
    (kept,) = tmp_path.glob("*-presence.npy")
    np.save(kept, ~first)
    np.testing.assert_array_equal(class_presence(dataset, tmp_path), ~first)


def test_nothing_to_balance() -> None:
    with pytest.raises(ValueError, match="no image shows any class"):
        ClassBalanced(np.zeros((3, 2), dtype=bool), seed=0)
