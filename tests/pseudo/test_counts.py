"""What both passes of labelling count: taken up again it is that of an uninterrupted pass; damaged, it is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from acclimate.pseudo.confidence import CONFIDENCES, ScoreMaps, score_maps
from acclimate.pseudo.counts import ScoreCounts, SelectionCounts
from acclimate.pseudo.thresholds import Selection, class_thresholds

CLASSES = ("road", "car", "sky")


def picture(seed: int) -> tuple[ScoreMaps, torch.Tensor]:
    """Scores of an image of 4 x 6 pixels and its true labels."""
    generator = torch.Generator().manual_seed(seed)
    maps = score_maps(3 * torch.randn(1, len(CLASSES), 4, 6, generator=generator))
    return maps, torch.randint(0, len(CLASSES), (1, 4, 6), generator=generator).to(torch.uint8)


@pytest.mark.parametrize("labelled", [True, False])
def test_scores_taken_up_again_are_those_of_one_pass(tmp_path: Path, labelled: bool) -> None:
    whole, cut, further = (ScoreCounts(len(CLASSES), labelled=labelled) for _ in range(3))
    first = np.array([True, False])
    assert not further.restore(tmp_path / "scores", images=2).any()
    for seed in (0, 1):
        maps, labels = picture(seed)
        whole.add(maps, labels if labelled else None)
        if seed == 0:
            cut.add(maps, labels if labelled else None)
            cut.save(tmp_path / "scores", covered=first)
            assert further.restore(tmp_path / "scores", images=2).tolist() == first.tolist()
        else:
            further.add(maps, labels if labelled else None)
    for name in CONFIDENCES:
        assert torch.equal(further.histogram(name).counts, whole.histogram(name).counts)
        assert sum(whole.everything(name).pixels) == 48
    assert bool(whole.judged) == labelled


def test_the_other_confidence_is_compared_under_the_same_rule() -> None:
    scores = ScoreCounts(len(CLASSES), labelled=True)
    scores.add(*picture(0))
    selection = Selection(confidence="softmax", rule="portion", portion=0.3, decision="class-balanced")
    thresholds = scores.thresholds(selection)
    assert thresholds["softmax"] == class_thresholds(scores.everything("softmax"), selection)
    plain = Selection(confidence="softmax", rule="portion", portion=0.3).model_copy(update={"confidence": "entropy"})
    assert thresholds["entropy"] == class_thresholds(scores.everything("entropy"), plain)


def test_selection_counts_by_hand_and_taken_up_again(tmp_path: Path) -> None:
    prediction = torch.tensor([[[0, 0, 1, 255]]], dtype=torch.uint8)
    maps = ScoreMaps(prediction, {name: torch.zeros(1, 1, 4) for name in CONFIDENCES})
    picked = {
        "softmax": torch.tensor([[[0, 0, 255, 255]]], dtype=torch.uint8),
        "entropy": torch.tensor([[[0, 255, 1, 255]]], dtype=torch.uint8),
    }
    labels = torch.tensor([[[0, 2, 1, 1]]], dtype=torch.uint8)
    selected, further = (SelectionCounts(CLASSES, confidence="softmax", labelled=True) for _ in range(2))
    selected.add(maps, picked, labels)
    assert selected.invalid == 1
    assert selected.selected.nonzero()[0].tolist() == [0, 255]
    assert selected.selected[[0, 255]].tolist() == [2, 2]
    table = (selected.measured() or {})["table"]["void ignored"]
    assert (table["softmax overall"], table["entropy overall"]) == (0.5, 0.0)
    assert not further.restore(tmp_path / "counts", images=3).any()
    selected.save(tmp_path / "counts", covered=np.array([False, True, False]))
    assert further.restore(tmp_path / "counts", images=3).tolist() == [False, True, False]
    assert (further.invalid, further.measured()) == (selected.invalid, selected.measured())
    assert np.array_equal(further.selected, selected.selected)
    unlabelled = SelectionCounts(CLASSES, confidence="entropy", labelled=False)
    unlabelled.add(maps, {"entropy": picked["entropy"]}, None)
    assert unlabelled.selected[[0, 1, 255]].tolist() == [1, 1, 2]
    assert unlabelled.measured() is None


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        (ScoreCounts(len(CLASSES), labelled=False), "scores are counted anew: "),
        (SelectionCounts(CLASSES, confidence="entropy", labelled=False), "labels are written anew: "),
    ],
)
def test_a_damaged_place_is_told_and_the_pass_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, counts: ScoreCounts | SelectionCounts, what: str
) -> None:
    counts.save(tmp_path / "place", covered=np.ones(7, dtype=np.bool_))
    content = bytearray((tmp_path / "place").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "place").write_bytes(content)
    assert not counts.restore(tmp_path / "place", images=7).any()
    assert what in caplog.text
    assert str(tmp_path / "place") in caplog.text
