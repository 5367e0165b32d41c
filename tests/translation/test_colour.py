"""Colour matching and the distance of colours, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.translation.colour import (
    channel_histograms,
    histogram_curves,
    mean_std_curves,
    mean_std_line,
    through_curves,
    wasserstein,
)


def flat(*colour: int) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (4, 5, 3))


def noise(seed: int, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, size=(40, 50, 3)).astype(np.uint8)


def test_histograms_count_every_pixel_of_every_channel() -> None:
    counts = channel_histograms([flat(1, 2, 3), flat(1, 0, 3)])
    assert counts[0, 1] == counts[2, 3] == 40
    assert counts[1, 0] == counts[1, 2] == 20
    assert counts.sum() == 120


def test_the_distance_of_two_levels_is_their_difference() -> None:
    found = wasserstein(channel_histograms([flat(10, 0, 255)]), channel_histograms([flat(25, 0, 0)]))
    assert found.tolist() == pytest.approx([15, 0, 255])


def test_the_distance_is_the_mean_difference_of_sorted_values() -> None:
    first, second = noise(0, 0, 200), noise(1, 30, 256)
    ordered = [np.sort(image.reshape(-1, 3).astype(float), axis=0) for image in (first, second)]
    expected = np.abs(ordered[0] - ordered[1]).mean(axis=0)
    assert np.allclose(wasserstein(channel_histograms([first]), channel_histograms([second])), expected)


def test_histogram_matching_gives_the_targets_histogram() -> None:
    first, second = noise(0, 0, 100), noise(1, 120, 256)
    counts = [channel_histograms([image]) for image in (first, second)]
    curves = histogram_curves(*counts)
    assert (np.diff(curves.astype(int), axis=1) >= 0).all()
    matched = channel_histograms([through_curves(first, curves)])
    assert wasserstein(matched, counts[1]).max() < 1.5 < wasserstein(counts[0], counts[1]).min()


def test_matching_a_set_with_itself_changes_nothing() -> None:
    image = noise(0, 0, 256)
    counts = channel_histograms([image])
    for curves in (histogram_curves(counts, counts), mean_std_curves(counts, counts)):
        assert (through_curves(image, curves) == image).all()


def test_mean_and_deviation_by_hand() -> None:
    first = np.array([[10, 10, 10], [30, 30, 30]], dtype=np.uint8)[None]  # mean 20, deviation 10
    second = np.array([[100, 100, 100], [140, 140, 140]], dtype=np.uint8)[None]  # mean 120, deviation 20
    curves = mean_std_curves(channel_histograms([first]), channel_histograms([second]))
    assert curves[0, [10, 20, 30]].tolist() == [100, 120, 140]
    assert curves[0, 0] == 80
    assert curves[0, 255] == 255  # 590 does not fit


def test_the_line_by_hand_and_back() -> None:
    """Levels 100 and 140 (mean 120, deviation 20) to 50 and 60 (55, 5): a quarter of the slope, and back."""
    source, target = np.zeros((2, 3, 256), dtype=np.int64)
    source[:, [100, 140]], target[:, [50, 60]] = 7, 3
    line = mean_std_line(source, target)
    np.testing.assert_allclose(line.gain, [0.25] * 3)
    np.testing.assert_allclose(line.shift, [25.0] * 3)
    back = line.inverse()
    np.testing.assert_allclose(back.gain * (line.gain * 100 + line.shift) + back.shift, [100.0] * 3)
