"""Error against kept share, and the sweep of Table 5, by hand and against direct counting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acclimate.pseudo.curves import JudgedHistogram, error_against_kept, threshold_sweep
from acclimate.pseudo.histogram import load_histograms, save_histograms
from acclimate.pseudo.selection import select
from acclimate.pseudo.thresholds import Selection, class_thresholds

V = 255
PREDICTION = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1], dtype=torch.uint8)
ENTROPY = torch.tensor([0.01, 0.02, 0.2, 0.4, 0.3, 0.5, 0.6, 0.9])
LABEL = torch.tensor([0, 1, 0, V, 1, 1, 0, 0], dtype=torch.uint8)


def judged() -> JudgedHistogram:
    histogram = JudgedHistogram(2, "entropy")
    for part in (slice(0, 3), slice(3, 8)):
        histogram.add(PREDICTION[part], ENTROPY[part], LABEL[part])
    return histogram


def test_the_parts_by_hand() -> None:
    pixels = {name: part.pixels for name, part in judged().parts().items()}
    assert pixels == {"right": [2, 2], "wrong": [1, 2], "void": [1, 0]}
    assert judged().everything().pixels == [4, 4]


def test_curves_by_hand() -> None:
    # by class: 1 + 1 kept, all right; 2 + 2, one wrong; 3 + 3, two wrong; all: void left out, three of seven
    points = error_against_kept(judged(), portions=[0.25, 0.5, 0.75, 1.0])
    assert [point.kept for point in points] == [0.25, 0.5, 0.75, 1.0]
    assert [point.error for point in points] == pytest.approx([0.0, 1 / 4, 2 / 6, 3 / 7])
    # together: ascending 0.01 0.02(wrong) 0.2 0.3 0.4(void) 0.5 0.6(wrong) 0.9(wrong)
    points = error_against_kept(judged(), portions=[0.25, 0.5, 0.625, 0.875], by="global")
    assert [point.error for point in points] == pytest.approx([1 / 2, 1 / 4, 1 / 4, 2 / 6])
    points = error_against_kept(judged(), portions=[0.625], by="global", void="wrong")
    assert points[0].error == pytest.approx(2 / 5)


def test_the_sweep_of_table_5_by_hand() -> None:
    rows = {row.name: row for row in threshold_sweep(judged(), bounds=[0.05, 0.3])}
    assert list(rows) == ["0.05", "0.3", "median"]
    # medians: 0.11 of class 0, 0.55 of class 1
    assert rows["median"].thresholds == pytest.approx([0.11, 0.55], abs=1e-5)
    assert rows["0.05"].thresholds == pytest.approx([0.11, 0.55], abs=1e-5)
    assert rows["0.3"].thresholds == pytest.approx([0.3, 0.55], abs=1e-5)
    assert rows["0.3"].kept.per_class == pytest.approx([0.75, 0.5])
    assert rows["0.3"].kept.overall == pytest.approx(5 / 8)
    assert rows["0.3"].error == pytest.approx({"ignored": 1 / 5, "wrong": 1 / 5})
    assert threshold_sweep(judged().everything())[0].error is None
    assert [row.name for row in threshold_sweep(judged())] == ["0.05", "0.1", "0.15", "0.2", "0.3", "median"]


def test_against_selecting_and_counting() -> None:
    torch.manual_seed(0)
    prediction = torch.randint(0, 3, (200_000,), dtype=torch.uint8)
    entropy = torch.rand(200_000) ** 6
    wrong = torch.rand(200_000) < 0.05 + 0.5 * entropy
    label = torch.where(wrong, (prediction + 1) % 3, prediction).to(torch.uint8)
    label[torch.rand(200_000) < 0.1] = V
    label[:5], entropy[5:10] = 77, torch.nan
    histogram = JudgedHistogram(3, "entropy")
    histogram.add(prediction, entropy, label)
    for portion, point in zip((0.2, 0.6), error_against_kept(histogram, portions=[0.2, 0.6]), strict=True):
        thresholds = class_thresholds(histogram.everything(), Selection(rule="portion", portion=portion))
        kept = select(prediction, entropy, thresholds) != V
        counted = kept & (label != V)
        assert point.kept == pytest.approx(kept.sum().item() / (len(kept) - 5), abs=1e-9)
        assert point.error == pytest.approx((label != prediction)[counted].float().mean().item(), abs=1e-6)
        per_class = histogram.error_share(thresholds, void="wrong")
        for index in range(3):
            mask = kept & (prediction == index)
            assert per_class[index] == pytest.approx((label != prediction)[mask].float().mean().item(), abs=1e-6)
    errors = [point.error or 0.0 for point in error_against_kept(histogram, portions=[0.2, 0.4, 0.6, 0.8, 1.0])]
    assert errors == sorted(errors)


def test_merging_and_saving(tmp_path: Path) -> None:
    histogram = JudgedHistogram(2, "entropy")
    histogram.add(PREDICTION[:3], ENTROPY[:3], LABEL[:3])
    save_histograms(tmp_path / "s", {f"entropy.{k}": v for k, v in histogram.parts().items()}, progress={})
    parts, _ = load_histograms(tmp_path / "s")
    again = JudgedHistogram.of({name.removeprefix("entropy."): part for name, part in parts.items()})
    rest = JudgedHistogram(2, "entropy")
    rest.add(PREDICTION[3:], ENTROPY[3:], LABEL[3:])
    again.merge(rest)
    assert torch.equal(again.counts, judged().counts)
