"""What a round trains on: cumulative parts of the source, rare classes, and crops that hold them."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.data.crops import Focus
from acclimate.data.registry import open_dataset
from acclimate.data.transforms import Transform
from acclimate.training.rounds import Mining, source_part


def test_larger_portions_of_a_seed_hold_the_smaller_ones() -> None:
    data = open_dataset("scenes:render,images=40,size=64x32")
    small, large = (source_part(data, portion, seed=3) for portion in (0.1, 0.25))
    assert (len(small), len(large)) == (4, 10)
    assert set(small.names) < set(large.names)
    assert small.names != source_part(data, 0.1, seed=4).names
    assert source_part(data, 1.0, seed=3) is data
    assert len(source_part(data, 0.001, seed=3)) == 1


def test_rare_classes_by_hand() -> None:
    mining = Mining()
    assert mining.rare_classes([5000, 4, 3000, 0, 5, 900]) == (1, 4), "below 0.1 %: these alone; 3 is nowhere"
    assert mining.rare_classes([5000, 400, 3000, 0, 500, 900]) == (1, 4, 5), "otherwise the three rarest"
    assert Mining(classes=1).rare_classes([50, 40, 30]) == (2,)


def test_crops_hold_the_rare_class_as_often_as_asked() -> None:
    image = np.zeros((60, 90, 3), dtype=np.uint8)
    label = np.zeros((60, 90), dtype=np.uint8)
    label[7, 81] = 5
    rng = np.random.default_rng(0)

    def share(chance: float) -> float:
        transform = Transform(crop=(16, 12), focus=Focus(classes=(4, 5), chance=chance))
        found = [bool((transform(image, label, rng)[1] == 5).any()) for _ in range(300)]  # type: ignore[union-attr]
        return float(np.mean(found))

    assert share(1.0) == 1.0
    assert share(0.0) < 0.1
    assert share(0.5) == pytest.approx(0.52, abs=0.1)


def test_the_class_lies_anywhere_in_the_crop_and_images_without_it_are_cropped_at_random() -> None:
    image = np.zeros((60, 90, 3), dtype=np.uint8)
    label = np.zeros((60, 90), dtype=np.uint8)
    label[30, 45] = 5
    transform = Transform(crop=(8, 4), focus=Focus(classes=(5,)))
    rng = np.random.default_rng(0)
    places = {tuple(np.argwhere(transform(image, label, rng)[1].numpy() == 5)[0]) for _ in range(600)}  # type: ignore[union-attr]
    assert places == {(row, column) for row in range(4) for column in range(8)}
    empty = transform(image, np.zeros_like(label), rng)[1]
    assert empty is not None
    assert empty.shape == (4, 8)


def test_draws_do_not_depend_on_the_label() -> None:
    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    label = np.zeros((20, 30), dtype=np.uint8)
    transform = Transform(crop=(10, 10), focus=Focus(classes=(5,)), flip=True)
    for seed in range(5):
        with_label = transform(image, label, np.random.default_rng(seed))[0]
        without = transform(image, None, np.random.default_rng(seed))[0]
        assert (with_label == without).all()
