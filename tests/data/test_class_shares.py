"""Class shares of whole images by hand, and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from acclimate.data.class_shares import shares_of_images

from acclimate.data.registry import open_dataset
from acclimate.data.stats import stats


def test_shares_and_mean_class_sizes_agree_with_a_direct_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_dataset("scenes:render,images=5,size=64x32")
    shares = shares_of_images(data, tmp_path)
    classes = len(data.class_space)
    direct = np.array([[(data.label(i) == c).mean() for c in range(classes)] for i in range(5)])
    np.testing.assert_allclose(np.stack([shares[name] for name in data.names]), direct, atol=1e-6)
    sizes = [direct[direct[:, c] > 0, c].mean() if (direct[:, c] > 0).any() else 0.0 for c in range(classes)]
    np.testing.assert_allclose(stats(data).mean_class_sizes, sizes, atol=1e-6)
    monkeypatch.setattr(type(data), "label", lambda self, index: pytest.fail("counted again"))
    again = shares_of_images(data, tmp_path)
    assert all((again[name] == shares[name]).all() for name in data.names)
