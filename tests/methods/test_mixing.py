"""Mixing images of two domains: which classes and boxes are drawn, and what becomes of the pixels."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from acclimate.errors import UserError
from acclimate.methods.mixing import box_masks, class_masks, ensure_same_size, masks_of, mixed, paired

LABELS = torch.tensor([[[0, 1, 2], [0, 1, 255]], [[3, 3, 3], [255, 3, 3]]])
"""Two images of 3x2 pixels: classes 0, 1, 2 and void; class 3 and void."""


def test_the_larger_half_of_each_images_classes_is_taken_whole() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        masks = class_masks(LABELS)
        taken = [set(label[mask].tolist()) for label, mask in zip(LABELS, masks, strict=True)]
        left = [set(label[~mask].tolist()) for label, mask in zip(LABELS, masks, strict=True)]
        assert len(taken[0]) == 2  # of three
        assert taken[0] | left[0] == {0, 1, 2, 255}
        assert not taken[0] & left[0]
        assert 255 in left[0]
        assert (taken[1], left[1]) == ({3}, {255})


def test_every_pair_of_classes_is_as_likely_as_any_other() -> None:
    torch.manual_seed(0)
    draws: Counter[tuple[int, ...]] = Counter()
    for _ in range(3000):
        draws[tuple(sorted(set(LABELS[0][class_masks(LABELS[:1])[0]].tolist())))] += 1
    assert set(draws) == {(0, 1), (0, 2), (1, 2)}
    assert all(abs(count - 1000) < 110 for count in draws.values())  # four standard deviations are 103


def test_images_of_a_batch_are_drawn_for_alone() -> None:
    labels = torch.arange(8).expand(6, 2, 8)
    torch.manual_seed(0)
    masks = class_masks(labels)
    assert masks[:, 0].sum(dim=1).tolist() == [4] * 6
    assert len({tuple(row.tolist()) for row in masks[:, 0]}) > 1


def test_void_can_be_a_class_and_classes_those_of_the_batch() -> None:
    """The published codes' ``unique`` over the batch: 0, 1, 2, 3 and void, of which three are drawn for each image."""
    seen = set()
    for seed in range(30):
        torch.manual_seed(seed)
        first, second = class_masks(LABELS, classes_of="batch", void_is_class=True)
        torch.manual_seed(seed)
        classes = [0, 1, 2, 3, 255]
        for label, mask in ((LABELS[0], first), (LABELS[1], second)):
            drawn = {classes[index] for index in torch.randperm(5)[:3].tolist()}
            assert mask.tolist() == [[value in drawn for value in row] for row in label.tolist()]
            seen |= {tuple(sorted(drawn))}
    assert any(255 in drawn for drawn in seen)
    torch.manual_seed(0)
    assert class_masks(LABELS[1:], void_is_class=True).sum() in (1, 5)  # one of class 3 and void


def test_an_image_of_void_alone_gives_nothing() -> None:
    assert not class_masks(torch.full((1, 2, 2), 255)).any()


@pytest.mark.parametrize(("height", "width"), [(20, 31), (7, 4), (1, 1)])
def test_boxes_cover_about_half_and_lie_inside(height: int, width: int) -> None:
    torch.manual_seed(0)
    for mask in box_masks(50, (height, width)):
        rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
        box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all()
        assert box.sum() == mask.sum()
        assert abs(int(mask.sum()) - height * width / 2) <= max(len(columns) / 2, 0.5)
        assert width / 2 <= len(columns) <= width


def test_boxes_reach_every_corner() -> None:
    torch.manual_seed(0)
    masks = box_masks(300, (8, 8))
    for row in (0, 7):
        for column in (0, 7):
            assert masks[:, row, column].any()
            assert not masks[:, row, column].all()


def test_pixels_labels_and_weights_follow_the_mask() -> None:
    masks = torch.tensor([[[True, False]], [[False, False]]])
    source, target = torch.arange(12.0).view(2, 3, 1, 2), -torch.arange(12.0).view(2, 3, 1, 2)
    image = mixed(source, target, masks)
    assert image[0].tolist() == [[[0.0, -1.0]], [[2.0, -3.0]], [[4.0, -5.0]]]
    assert torch.equal(image[1], target[1])
    labels = mixed(torch.tensor([[[7, 8]], [[9, 10]]]), torch.tensor([[[1, 2]], [[3, 4]]]), masks)
    assert labels.tolist() == [[[7, 2]], [[3, 4]]]
    assert mixed(torch.ones(2, 1, 2), torch.full((2, 1, 2), 0.25), masks).tolist() == [[[1.0, 0.25]], [[0.25, 0.25]]]


def test_no_mixing_takes_nothing_from_the_source() -> None:
    assert not masks_of("none", LABELS).any()
    torch.manual_seed(3)
    boxes = masks_of("cutmix", LABELS)
    torch.manual_seed(3)
    assert torch.equal(boxes, box_masks(2, (2, 3)))


def test_fewer_source_images_are_used_again() -> None:
    assert paired(torch.tensor([5, 6]), 5).tolist() == [5, 6, 5, 6, 5]
    assert paired(torch.tensor([5, 6, 7]), 2).tolist() == [5, 6]


def test_images_of_different_sizes_are_not_mixed() -> None:
    ensure_same_size(torch.zeros(2, 3, 4, 5), torch.zeros(1, 3, 4, 5))
    with pytest.raises(UserError, match=r"source's are 5x4 and the target's 6x4; set training.source_transform"):
        ensure_same_size(torch.zeros(2, 3, 4, 5), torch.zeros(1, 3, 4, 6))
