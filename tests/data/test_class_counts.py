"""Pixels per class and image, by a direct count, and counted once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acclimate.data.class_counts import ClassCounts, class_counts
from acclimate.data.registry import open_dataset
from acclimate.data.stats import stats
from acclimate.errors import UserError

SPEC = "scenes:render,images=5,size=64x32"


def test_counts_shares_and_frequencies_agree_with_a_direct_count() -> None:
    data = open_dataset(SPEC)
    counts = class_counts(data)
    classes = len(data.class_space)
    direct = np.array([[(data.label(i) == c).sum() for c in range(classes)] for i in range(5)])
    np.testing.assert_array_equal(counts.pixels, direct)
    assert counts.totals.tolist() == [64 * 32] * 5
    np.testing.assert_array_equal(counts.presence, direct > 0)
    np.testing.assert_array_equal(counts.shares, (direct / (64 * 32)).astype(np.float32))
    np.testing.assert_allclose(counts.frequencies, direct.sum(axis=0) / direct.sum())
    np.testing.assert_allclose(counts.frequencies, stats(data).class_ratios)
    sizes = [direct[direct[:, c] > 0, c].mean() / 2048 if direct[:, c].any() else 0.0 for c in range(classes)]
    np.testing.assert_allclose(stats(data).mean_class_sizes, sizes, atol=1e-6)
    named = counts.shares_by_name()
    assert list(named) == list(data.names)
    assert all((named[name] == row).all() for name, row in zip(data.names, counts.shares, strict=True))


def test_void_is_no_class_but_part_of_the_image() -> None:
    counts = ClassCounts(["a"], np.array([[1, 2]]), np.array([4]))
    assert counts.shares.tolist() == [[0.25, 0.5]]
    assert counts.frequencies.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_counted_once_and_again_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_dataset(SPEC)
    first = class_counts(data, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(type(data), "label", lambda self, index: pytest.fail("counted again"))
        again = class_counts(data, tmp_path)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_array_equal(again.totals, first.totals)
    (kept,) = tmp_path.glob("*-counts.safetensors")
    whole = kept.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        kept.write_bytes(damaged)
        np.testing.assert_array_equal(class_counts(data, tmp_path).pixels, first.pixels)
        assert kept.read_bytes() == whole


def test_without_labels(tmp_path: Path) -> None:
    data = open_dataset(SPEC)
    data.has_labels = False
    with pytest.raises(UserError, match="has no labels, so its classes cannot be counted"):
        class_counts(data)
