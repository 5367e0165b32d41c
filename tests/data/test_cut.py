"""Margins left out of every picture, and finding those that no label speaks of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from acclimate.data.class_spaces import class_space
from acclimate.data.cut import Cut, CutPictures, unlabelled_rim, without_margin
from acclimate.data.sample import Dataset, Image, Label
from acclimate.doctor.sets import findings_in_sets
from acclimate.doctor.signals import SetSignals
from acclimate.errors import UserError


class Maps(Dataset):
    """Label maps given as arrays; images hold each pixel's row."""

    spec, split, has_labels = "maps:here", "train", True
    class_space = class_space("carla-camvid-10")

    def __init__(self, labels: Sequence[Label | None]) -> None:
        self.labels, self.names = labels, [str(number) for number in range(len(labels))]

    def image(self, index: int) -> Image:
        label = self.label(index)
        rows = np.arange(label.shape[0], dtype=np.uint8)[:, None, None]
        return np.broadcast_to(rows, (*label.shape, 3))

    def label(self, index: int) -> Label:
        found = self.labels[index]
        if found is None:
            raise UserError("unreadable")
        return found

    def fingerprint(self) -> str:
        return "maps"


def with_void(height: int = 60, width: int = 80, **sides: int) -> Label:
    label = np.zeros((height, width), dtype=np.uint8)
    inner = np.full_like(label, 255)
    rows = slice(sides.get("top", 0), height - sides.get("bottom", 0))
    columns = slice(sides.get("left", 0), width - sides.get("right", 0))
    inner[rows, columns] = label[rows, columns]
    return inner


def test_a_cut_takes_whole_rows_and_columns() -> None:
    cut = Cut(top=0.1, bottom=0.183, left=0.05, right=0.5)
    assert cut.window(600, 800) == (slice(60, 490), slice(40, 400))
    assert cut.window(1, 1) == (slice(0, 1), slice(0, 1))
    assert cut.words() == "5 % at the left, 10 % at the top, 50 % at the right, 18.3 % at the bottom"


@pytest.mark.parametrize("sides", [{"left": 0.5, "right": 0.5}, {"top": 1.0}, {"bottom": -0.1}, {"up": 0.1}])
def test_a_cut_that_leaves_nothing_is_refused(sides: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Cut(**sides)


def test_picture_and_label_are_cut_alike() -> None:
    data = Maps([with_void(bottom=11)])
    cut = without_margin(data, Cut(bottom=11 / 60, top=0.1))
    assert (cut.image(0).min(), cut.image(0).max()) == (6, 48)
    assert cut.label(0).shape == cut.image(0).shape[:2] == (43, 80)
    assert not (cut.label(0) == 255).any()
    assert cut.fingerprint() not in (data.fingerprint(), CutPictures(data, Cut(bottom=0.1)).fingerprint())
    assert without_margin(data, None) is data
    assert without_margin(data, Cut()) is data


def test_a_rim_is_what_all_labels_lack() -> None:
    maps = [with_void(bottom=11, left=8), with_void(bottom=15, left=8, right=20), None, with_void(bottom=11, left=8)]
    rim = unlabelled_rim(Maps(maps), [0, 1, 2, 3])
    assert (rim.left, rim.bottom) == pytest.approx((0.1, 11 / 60), abs=0.002)
    assert (rim.top, rim.right) == (0.0, 0.0)
    assert rim.window(60, 80) == (slice(0, 49), slice(8, 80))


def test_sizes_may_differ() -> None:
    maps = [with_void(bottom=11), with_void(height=600, width=800, bottom=110), with_void(height=1200, bottom=220)]
    assert unlabelled_rim(Maps(maps), [0, 1, 2]).window(600, 800)[0] == slice(0, 490)


def test_labels_to_the_edge_empty_ones_and_halves_have_no_rim() -> None:
    assert not unlabelled_rim(Maps([with_void()]), [0])
    assert not unlabelled_rim(Maps([np.full((60, 80), 255, dtype=np.uint8)]), [0])
    assert not unlabelled_rim(Maps([with_void(bottom=1)]), [0])
    assert not unlabelled_rim(Maps([with_void(top=35)]), [0])
    assert not unlabelled_rim(Maps([None]), [0])


def test_the_doctor_says_what_to_write() -> None:
    signals = SetSignals(colour_distance=(0, 0, 0), aspects=(1.3, 1.3), source_rim=Cut(bottom=0.183))
    (finding,) = findings_in_sets(signals)
    assert finding.kind == "source rim without labels"
    assert "18.3 % at the bottom" in finding.words
    assert "`source_cut: {bottom: 0.183}`" in finding.advice
