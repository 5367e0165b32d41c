"""Bins, counting, quantiles, merging and saving of score histograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.pseudo.histogram import (
    BINS,
    MOST_FINE,
    ScoreHistogram,
    bin_edges,
    bin_of,
    bins_for,
    load_histograms,
    save_histograms,
)


def saturated(pixels: int, seed: int = 0) -> Tensor:
    """Uncertainties over 24 powers of e, half of them below 1e-4."""
    generator = torch.Generator().manual_seed(seed)
    return torch.exp(-torch.empty(pixels).uniform_(0.01, 18.4, generator=generator)).float()


def filled(values: Tensor, classes: Tensor | None = None, count: int = 1) -> ScoreHistogram:
    histogram = ScoreHistogram(count, "entropy")
    histogram.add(torch.zeros(values.shape, dtype=torch.uint8) if classes is None else classes, values)
    return histogram


def test_a_bin_holds_what_lies_between_its_edges() -> None:
    edges = bin_edges()
    assert len(edges) == BINS + 1
    assert (np.diff(edges) >= 0).all()
    torch.manual_seed(0)
    special = torch.tensor([0.0, -0.0, 1.0, 0.5, 0.1, 1e-38, 2.0**-17, 2.0**-40])
    below_edges = torch.from_numpy(np.nextafter(edges[1:].astype(np.float32), np.float32(0)))
    values = torch.cat([special, saturated(200_000), torch.rand(200_000), below_edges])
    bins = bin_of(values).numpy()
    scores = values.double().abs().numpy()
    assert (edges[bins] <= scores).all()
    assert (scores < edges[bins + 1]).all()


def test_bins_are_narrow_at_every_magnitude() -> None:
    edges = bin_edges()[1:]
    low, high = edges[:-1], edges[1:]
    normal = low > 1e-37
    assert ((high - low)[normal] <= low[normal] / 512 + 1e-45).all()
    assert (high - low).max() <= 2.0**-18


def test_quantile_is_the_bin_of_the_sorted_element() -> None:
    values = saturated(100_001)
    ordered, histogram = values.sort().values, filled(values)
    for portion in (0.0, 0.01, 0.15, 0.5, 0.9, 1.0):
        exact = ordered[min(int(portion * len(values)), len(values) - 1)].item()
        found = histogram.quantile(0, portion)
        assert found <= exact <= found * (1 + 1 / 256) + 1e-12


def test_a_quantile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        ScoreHistogram(2, "softmax").quantile(1, 0.5)


def test_void_and_nan_pixels_are_left_out() -> None:
    classes = torch.tensor([0, 1, 255, 0, 2, 1], dtype=torch.uint8)
    values = torch.tensor([0.1, torch.nan, 0.2, 0.3, 0.1, 1.0])
    histogram = filled(values, classes, 2)
    assert histogram.pixels == [2, 1]
    assert histogram.counts[0, int(bin_of(torch.tensor([0.3]))[0])] == 1
    assert histogram.counts[1, BINS - 1] == 1
    histogram.add(torch.zeros(0, dtype=torch.uint8), torch.zeros(0))
    assert histogram.pixels == [2, 1]


def test_scores_that_are_no_uncertainties_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        ScoreHistogram(2, "softmax").add(torch.zeros(3, dtype=torch.uint8), torch.zeros(4))
    with pytest.raises(ValueError, match="float32"):
        ScoreHistogram(2, "softmax").add(torch.zeros(3, dtype=torch.uint8), torch.zeros(3, dtype=torch.float64))


def test_images_of_any_size_in_any_split_count_the_same() -> None:
    values, classes = saturated(300_000), torch.randint(0, 3, (300_000,), dtype=torch.uint8)
    whole, first, second = filled(values, classes, 3), ScoreHistogram(3, "entropy"), ScoreHistogram(3, "entropy")
    first.add(classes[:120_000].view(300, 400), values[:120_000].view(300, 400))
    second.add(classes[120_000:].view(2, 90, 1000), values[120_000:].view(2, 90, 1000))
    first.merge(second)
    assert torch.equal(first.counts, whole.counts)
    assert whole.pixels == torch.bincount(classes.int(), minlength=3).tolist()
    direct = torch.bincount(classes.long() * BINS + bin_of(values).long(), minlength=3 * BINS).view(3, BINS)
    assert torch.equal(whole.counts, direct)


def test_merging_different_histograms_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot merge"):
        ScoreHistogram(2, "softmax").merge(ScoreHistogram(2, "entropy"))
    with pytest.raises(ValueError, match="cannot merge"):
        ScoreHistogram(2, "softmax").merge(ScoreHistogram(3, "softmax"))


def test_a_cut_takes_the_nearest_bin_boundary() -> None:
    histogram = filled(torch.tensor([0.1] * 2 + [0.2] * 5 + [0.4] * 3))
    for target, ties, kept in [(0, True, 0), (0.9, True, 0), (1, False, 0), (1, True, 2), (4, True, 2), (5, False, 7)]:
        assert histogram.cut(0, target, ties=ties).kept == kept
    for target, kept in [(4.5, 2), (4.6, 7), (8.4, 7), (9, 10), (10, 10)]:
        assert histogram.cut(0, target, ties=False).kept == kept
    cut = histogram.cut(0, 5, ties=False)
    assert 0.2 < cut.after_kept < 0.2 + 1e-5
    assert 0.4 - 1e-5 < cut.first_dropped <= np.float32(0.4)
    assert histogram.cut(None, 7, ties=False).total == 10


def test_pixels_below_a_limit_are_exact_at_edges() -> None:
    values = saturated(50_000)
    histogram, edges = filled(values), bin_edges()
    for position in (0, 1, 20_000, 60_000, 130_000, BINS):
        limit = float(edges[position])
        assert histogram.below([limit]) == [float((values.double() < limit).sum())]
    assert histogram.below([0.1])[0] == pytest.approx(float((values < 0.1).sum()), abs=5)


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path: Path) -> None:
    values, classes = saturated(10_000), torch.randint(0, 4, (10_000,), dtype=torch.uint8)
    half = filled(values[:5000], classes[:5000], 4)
    empty = ScoreHistogram(4, "softmax")
    path = tmp_path / "pass.safetensors"
    save_histograms(path, {"entropy": half, "softmax.wrong": empty}, progress={"images": "12", "identity": "abc"})
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    histograms, progress = load_histograms(path)
    assert progress == {"images": "12", "identity": "abc"}
    assert histograms["softmax.wrong"].pixels == [0, 0, 0, 0]
    assert histograms["softmax.wrong"].confidence == "softmax"
    histograms["entropy"].add(classes[5000:], values[5000:])
    assert torch.equal(histograms["entropy"].counts, filled(values, classes, 4).counts)


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "pass.safetensors"
    path.write_bytes(b"not a state")
    with pytest.raises(UserError, match=r"pass.safetensors.*delete it"):
        load_histograms(path)


@pytest.mark.parametrize("classes", [33, 64, 100, 255])
def test_many_classes_need_no_more_memory_than_thirty_two(classes: int) -> None:
    histogram = ScoreHistogram(classes, "entropy")
    assert histogram.counts.numel() <= 1.04 * MOST_FINE * BINS
    values, predicted = saturated(60_000), torch.randint(0, classes, (60_000,), dtype=torch.uint8)
    histogram.add(predicted, values)
    assert histogram.pixels == torch.bincount(predicted.int(), minlength=classes).tolist()
    edges = histogram.edges
    assert len(edges) == histogram.counts.shape[1] + 1
    mine = values[predicted == classes - 1].double().numpy()
    np.testing.assert_array_equal(histogram.counts[classes - 1].numpy(), np.histogram(mine, edges)[0])
    exact = np.sort(mine)[len(mine) // 2]
    assert histogram.quantile(classes - 1, 0.5) <= exact <= histogram.quantile(classes - 1, 0.5) * 1.02 + 1e-6


def test_up_to_thirty_two_classes_every_bin_counts_alone() -> None:
    assert {bins_for(classes) for classes in range(1, MOST_FINE + 1)} == {BINS}
    for classes in range(1, 256):
        assert len(bin_edges(bins_for(classes))) == bins_for(classes) + 1
