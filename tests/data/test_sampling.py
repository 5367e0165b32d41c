"""Which image comes when: FADA's weights and DAFormer's probabilities by hand, positions as pure functions."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from acclimate.data.class_counts import ClassCounts, class_counts
from acclimate.data.crops import Keep
from acclimate.data.loading import batches
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.sampling import (
    LEAST_SHARE,
    ClassBalanced,
    Draw,
    RareClass,
    Sampler,
    Sampling,
    Shuffled,
    class_weights,
    half_of_the_classes,
    rare_class_probabilities,
)
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import Subset
from acclimate.detection.settings import DetectionTraining
from acclimate.errors import UserError
from acclimate.training.settings import TrainingSettings


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
    images = ClassBalanced(presence(), seed=0).images(0)
    share = float(np.isin(images, [7, 21]).mean())
    assert share > 0.3  # 5 % of the images
    assert abs(int((images == 7).sum()) - int((images == 21).sum())) <= 60  # its list is gone through in turn


def test_a_position_is_a_pure_function_of_the_seed() -> None:
    sampler, again = ClassBalanced(presence(), seed=3, sub_epoch=50), ClassBalanced(presence(), seed=3, sub_epoch=50)
    drawn = [sampler.draw(position).index for position in range(150)]
    assert [again.draw(position).index for position in reversed(range(150))] == drawn[::-1]
    assert drawn[:50] == sampler.images(0).tolist()
    assert drawn[50:100] == sampler.images(1).tolist() != drawn[:50]
    assert [ClassBalanced(presence(), seed=4, sub_epoch=50).draw(position).index for position in range(150)] != drawn
    assert copy.deepcopy(sampler).draw(17).index == drawn[17]


def test_batches_follow_it() -> None:
    dataset = Subset(ScenesDataset("render", split="train", size=(32, 16)), range(6))
    shown = class_counts(dataset).presence
    assert shown.shape == (6, len(dataset.class_space))
    for index in range(6):
        ids = set(np.unique(dataset.label(index)).tolist()) - {255}
        assert set(np.flatnonzero(shown[index]).tolist()) == ids
    sampler = ClassBalanced(shown, seed=1)
    stream = batches(dataset, transform=Transform(), batch_size=2, seed=1, first_step=1, steps=4, sampler=sampler)
    names = [name for batch in stream for name in batch.names]
    assert names == [dataset.names[sampler.draw(position).index] for position in range(2, 8)]


def test_nothing_to_balance() -> None:
    with pytest.raises(ValueError, match="no image shows any class"):
        ClassBalanced(np.zeros((3, 2), dtype=bool), seed=0)


def counts() -> ClassCounts:
    """Ten images of 1,000 pixels: class 0 on all, 1 on half (20 %), 2 on two (1 %), 3 on one (a single pixel)."""
    pixels = np.zeros((10, 4), dtype=np.int64)
    pixels[::2, 1] = 200
    pixels[[3, 8], 2] = 10
    pixels[5, 3] = 1
    pixels[:, 0] = 900 - pixels.sum(axis=1)
    return ClassCounts([str(number) for number in range(10)], pixels, np.full(10, 1000))


def test_rare_class_probabilities_by_hand() -> None:
    frequencies = np.array([0.7, 0.2, 0.1])
    raw = [math.exp((1 - f) / 0.05) for f in frequencies]
    expected = [value / sum(raw) for value in raw]
    assert rare_class_probabilities(frequencies, 0.05).tolist() == pytest.approx(expected)
    assert rare_class_probabilities(frequencies, 1e-5).tolist() == [0, 0, 1]
    assert rare_class_probabilities(frequencies, 1e9).tolist() == pytest.approx([1 / 3] * 3)


def test_rare_class_draws_follow_the_probabilities_and_the_images_are_uniform() -> None:
    sampler = RareClass(counts(), seed=0, temperature=0.5, least_share=0.005)
    assert sampler.classes.tolist() == [0, 1, 2]  # nowhere is more than half a per cent class 3
    whole = np.array([900 * 10 - 1000 - 20 - 1, 1000, 20]) / 9000
    raw = np.exp((1 - whole) / 0.5)
    drawn = [sampler.draw(position) for position in range(6000)]
    shares = np.bincount([draw.keep.train_id for draw in drawn], minlength=3) / 6000  # type: ignore[arg-type]
    np.testing.assert_allclose(shares, raw / raw.sum(), atol=0.02)
    for train_id, images in ((1, [0, 2, 4, 6, 8]), (2, [3, 8])):
        seen = np.bincount([draw.index for draw in drawn if draw.keep.train_id == train_id], minlength=10)
        assert np.flatnonzero(seen).tolist() == images
        np.testing.assert_allclose(seen[images] / seen.sum(), 1 / len(images), atol=0.03)


def test_a_rare_class_draw_is_a_pure_function_and_says_what_its_crop_needs() -> None:
    sampler, again = (RareClass(counts(), seed=3, least_share=0.005, crop_ratio=2.0, tries=7) for _ in range(2))
    drawn = [sampler.draw(position) for position in range(60)]
    assert [again.draw(position) for position in reversed(range(60))] == drawn[::-1]
    assert [RareClass(counts(), seed=4, least_share=0.005).draw(position).index for position in range(60)] != [
        draw.index for draw in drawn
    ]
    assert drawn[0].keep == Keep(2, share=0.01, tries=7)


def test_more_than_the_least_share_and_not_as_much() -> None:
    assert RareClass(counts(), seed=0, least_share=0.01).classes.tolist() == [0, 1]
    assert RareClass(counts(), seed=0, least_share=0.0).classes.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no image has 95 % of its pixels in one class"):
        RareClass(counts(), seed=0, least_share=0.95)


def test_the_temperature_that_spreads_over_half_of_the_classes() -> None:
    # class frequencies of GTA5's labels in Cityscapes' 19 classes, rounded; DAFormer's temperature for them is 0.01
    gta5 = np.array(
        [36.4, 9.2, 18.6, 2.1, 0.7, 1.2, 0.15, 0.1, 8.4, 2.4, 15.3, 0.4, 0.03, 2.8, 1.3, 0.4, 0.07, 0.04, 0.01]
    )
    assert 0.005 < half_of_the_classes(gta5 / gta5.sum()) < 0.02
    for frequencies in (gta5 / gta5.sum(), np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.9, 0.1])):
        chances = rare_class_probabilities(frequencies, half_of_the_classes(frequencies))
        spread = math.exp(-sum(p * math.log(p) for p in chances if p > 0))
        assert spread == pytest.approx(len(frequencies) / 2, rel=1e-3)
    assert RareClass(counts(), seed=0, temperature=None, least_share=0.005).temperature > 0.01


def test_shuffled_is_each_once_per_epoch() -> None:
    sampler = Shuffled(7, seed=1)
    drawn = [sampler.draw(position) for position in range(21)]
    assert [sorted(draw.index for draw in drawn[begin : begin + 7]) for begin in (0, 7, 14)] == [list(range(7))] * 3
    assert all(draw.keep is None for draw in drawn)
    assert drawn[7] == Draw(int(sampler.order(1)[0]))


def test_batches_hold_the_class_that_was_drawn() -> None:
    dataset = Subset(ScenesDataset("render", split="train", size=(64, 32)), range(12))
    sampler = Sampling(kind="rare-class", temperature="auto", tries=30).sampler(dataset, seed=2)
    assert isinstance(sampler, RareClass)
    draws = [sampler.draw(position) for position in range(40)]

    class WithoutWish:
        def draw(self, position: int) -> Draw:
            return Draw(draws[position].index)

    def held(sampler: Sampler) -> int:
        stream = batches(dataset, transform=Transform(crop=(32, 16)), batch_size=4, seed=2, steps=10, sampler=sampler)
        labels = [label for batch in stream for label in batch.labels]  # type: ignore[union-attr]
        pixels = [int((label == draw.keep.train_id).sum()) for label, draw in zip(labels, draws, strict=True)]
        return sum(found > LEAST_SHARE * 64 * 32 for found in pixels)

    assert held(sampler) >= 36
    assert held(WithoutWish()) < held(sampler) - 5


def test_rare_class_batches_do_not_depend_on_workers_or_where_they_begin() -> None:
    dataset = Subset(ScenesDataset("render", split="train", size=(64, 32)), range(5))
    sampler = Sampling(kind="rare-class").sampler(dataset, seed=2)

    def load(**options: int) -> list[bytes]:
        stream = batches(
            dataset, transform=Transform(crop=(32, 16), largest_share=0.75, flip=True), batch_size=2, seed=2, steps=6,
            sampler=sampler, **options,
        )  # fmt: skip
        return [batch.images.numpy().tobytes() for batch in stream]

    whole = load()
    assert load(workers=2) == whole
    assert load(first_step=4) == whole[4:]


@pytest.mark.parametrize("kind", ["shuffled", "class-balanced", "rare-class"])
def test_a_kind_alone_is_enough(kind: str) -> None:
    settings = TrainingSettings.model_validate({"source_sampling": kind})
    assert settings.source_sampling == Sampling.model_validate({"kind": kind})
    assert TrainingSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_wrong_sampling_is_refused() -> None:
    with pytest.raises(ValidationError, match="temperature belong to kind: rare-class, not to shuffled"):
        Sampling.model_validate({"temperature": 0.5})
    with pytest.raises(ValidationError, match="kind"):
        Sampling.model_validate("rare")
    with pytest.raises(ValidationError, match="temperature"):
        Sampling.model_validate({"kind": "rare-class", "temperature": 0})
    with pytest.raises(ValidationError, match="detection draws its source shuffled"):
        DetectionTraining.model_validate({"source_sampling": "rare-class"})
    dataset = Subset(ScenesDataset("render", split="train", size=(32, 16)), range(2))
    with pytest.raises(UserError, match=r"no image has 99 % .* source_sampling=rare-class has nothing to draw"):
        Sampling(kind="rare-class", least_share=0.99).sampler(dataset, seed=0)
