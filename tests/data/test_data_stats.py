from __future__ import annotations

from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.registry import open_dataset
from acclimate.data.stats import stats
from acclimate.errors import UserError

ROAD, SKY, CAR, VOID_ID = 7, 23, 26, 0


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """Two images of 12x20: one half road, a quarter sky, the rest void; one all road but a tenth car."""
    first = np.full((12, 20), VOID_ID)
    first[:6] = ROAD
    first[6:9] = SKY
    second = np.full((12, 20), ROAD)
    second[:, :2] = CAR
    return formats.write_gta5(tmp_path / "data", images=2, labels={"00001": first, "00002": second})


def test_by_hand(spec: str) -> None:
    found = stats(open_dataset(spec))
    road, sky, car = (found.classes.index(name) for name in ("road", "sky", "car"))
    assert [found.pixels[index] for index in (road, sky, car)] == [120 + 216, 60, 24]
    assert sum(found.pixels) == 420
    assert found.void_pixels == 60
    assert found.void_share == pytest.approx(60 / 480)
    assert found.class_ratios[road] == pytest.approx(336 / 420)
    assert sum(found.class_ratios) == pytest.approx(1)
    assert [found.images_with_class[index] for index in (road, sky, car)] == [2, 1, 1]
    # of the whole image, void included, averaged over the images that contain the class
    assert found.mean_class_sizes[road] == pytest.approx((0.5 + 0.9) / 2)
    assert found.mean_class_sizes[sky] == pytest.approx(0.25)
    assert found.mean_class_sizes[car] == pytest.approx(0.1)
    train = found.classes.index("train")
    assert (found.pixels[train], found.images_with_class[train], found.mean_class_sizes[train]) == (0, 0, 0)
    assert found.image_sizes == {"20x12": 2}
    assert "road" in found.table()
    assert "80.000" in found.table()


def test_results_are_kept_until_the_data_change(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, folder = open_dataset(spec), tmp_path / "cache"
    first = stats(dataset, folder)
    monkeypatch.setattr(dataset, "label", None)  # cannot be read again
    assert stats(dataset, folder) == first
    formats.save(tmp_path / "data/labels/00001.png", formats.palette(np.full((12, 20), SKY)))
    assert stats(open_dataset(spec), folder).pixels != first.pixels
    assert stats(open_dataset(spec, class_space="cityscapes-7"), folder).classes[0] == "flat"


def test_without_labels_there_is_nothing_to_count(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no labels to count"):
        stats(open_dataset(formats.write_camvid(tmp_path, labels=False)))
