"""Crops that hold what they should: rare classes, classes the sampler asks for, no single class alone."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.data.crops import Focus, Keep, crop_corner
from acclimate.data.transforms import Transform
from acclimate.labels import VOID

SHAPE, CROP = (40, 60), (10, 12)


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def label_with(blob: tuple[slice, slice], train_id: int = 5) -> np.ndarray:
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[blob] = train_id
    return label


def pixels(label: np.ndarray, corner: tuple[int, int], train_id: int) -> int:
    return int((label[corner[0] : corner[0] + CROP[0], corner[1] : corner[1] + CROP[1]] == train_id).sum())


def test_the_first_crop_is_that_of_no_wish() -> None:
    label = np.full(SHAPE, 5, dtype=np.uint8)
    for number in range(20):
        plain = crop_corner(SHAPE, label, CROP, rng(number))
        assert crop_corner(SHAPE, label, CROP, rng(number), keep=Keep(5)) == plain


def test_it_is_drawn_again_until_the_class_is_there() -> None:
    label = label_with((slice(8, 30), slice(10, 40)))
    least = 60  # half of the crop
    keep = Keep(5, share=least / label.size, tries=10)
    held, plain = 0, 0
    for number in range(300):
        held += pixels(label, crop_corner(SHAPE, label, CROP, rng(number), keep=keep), 5) > least
        plain += pixels(label, crop_corner(SHAPE, label, CROP, rng(number)), 5) > least
    chance = plain / 300
    assert 0.2 < chance < 0.7
    assert held / 300 == pytest.approx(1 - (1 - chance) ** 10, abs=0.03)


def test_more_than_the_least_and_not_as_many() -> None:
    label = np.zeros(CROP, dtype=np.uint8)
    label[0, :6] = 5  # one corner alone: the crop is the image
    spread = np.zeros((10, 13), dtype=np.uint8)
    spread[:, 0] = 5  # ten pixels, in the left one of two crops
    for number in range(20):
        assert crop_corner(CROP, label, CROP, rng(number), keep=Keep(5, share=1.0)) == (0, 0)
        assert crop_corner((10, 13), spread, CROP, rng(number), keep=Keep(5, share=9.9 / 130, tries=40)) == (0, 0)
    corners = {crop_corner((10, 13), spread, CROP, rng(n), keep=Keep(5, share=10 / 130, tries=3)) for n in range(50)}
    assert corners == {(0, 0), (0, 1)}  # nowhere more than ten: the last try stays


def test_the_number_of_tries_counts_the_first() -> None:
    label = np.zeros(SHAPE, dtype=np.uint8)
    for number in range(20):
        once = crop_corner(SHAPE, label, CROP, rng(number), keep=Keep(5, tries=1))
        assert once == crop_corner(SHAPE, label, CROP, rng(number))


def test_no_class_takes_too_much() -> None:
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[:, 30:] = 1
    label[:6] = VOID

    def good(largest_share: float | None) -> float:
        kept = 0
        for number in range(300):
            top, left = crop_corner(SHAPE, label, CROP, rng(number), largest_share=largest_share)
            counts = np.bincount(label[top : top + CROP[0], left : left + CROP[1]].ravel(), minlength=256)[:VOID]
            kept += counts.max() < 0.75 * counts.sum()
        return kept / 300

    chance = good(None)
    assert 0.05 < chance < 0.2
    assert good(0.75) == pytest.approx(1 - (1 - chance) ** 10, abs=0.08)


def test_both_wishes_must_be_met_by_one_crop() -> None:
    label = label_with((slice(0, 40), slice(40, 60)))
    for number in range(100):
        corner = crop_corner(SHAPE, label, CROP, rng(number), keep=Keep(5, tries=200), largest_share=0.6)
        share = pixels(label, corner, 5) / (CROP[0] * CROP[1])
        assert 0.4 < share < 0.6


def test_what_is_drawn_does_not_depend_on_the_label() -> None:
    label = label_with((slice(0, 5), slice(0, 5)))
    for options in ({}, {"keep": Keep(5)}, {"largest_share": 0.5}, {"focus": Focus(classes=(5,)), "keep": Keep(5)}):
        states = []
        for shown in (label, np.full_like(label, 5), None):
            generator = rng(3)
            crop_corner(SHAPE, shown, CROP, generator, **options)  # type: ignore[arg-type]
            states.append(generator.bit_generator.state)
        assert states[0] == states[1] == states[2]


def test_a_transform_hands_the_wish_on_after_scaling_and_padding() -> None:
    label = label_with((slice(30, 40), slice(50, 60)))
    image = np.zeros((*SHAPE, 3), dtype=np.uint8)
    transform = Transform(size=(120, 80), crop=(24, 20), flip=True)
    keep = Keep(5, share=50 / label.size, tries=2000)
    for number in range(20):
        _, cropped = transform(image, label, rng(number), keep)
        assert cropped is not None
        assert int((cropped == 5).sum()) > 200  # 50 pixels of the image, enlarged twice
    padded, _ = Transform(crop=(80, 20))(image, label, rng(), keep)
    assert padded.shape == (3, 20, 80)
