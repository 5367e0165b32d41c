"""The blocks that masked consistency hides."""

from __future__ import annotations

import pytest
import torch

from acclimate.methods.masked_consistency import block_masks, hidden
from acclimate.models.preprocessing import PREPROCESSINGS, Preprocessing


def test_blocks_are_squares_from_the_corner_cut_at_the_border() -> None:
    """25 per cent of 12 rows are squares of 3 pixels: 4 rows of them, and 4 columns of which the last is one wide."""
    torch.manual_seed(0)
    masks = block_masks(3, (12, 10), block=25.0, ratio=0.5)
    torch.manual_seed(0)
    grid = torch.rand(3, 4, 4)
    for image in range(3):
        for row in range(12):
            for column in range(10):
                assert masks[image, row, column] == (grid[image, row // 3, column // 3] >= 0.5)


def test_the_published_block_is_64_pixels_of_1024() -> None:
    torch.manual_seed(0)
    (mask,) = block_masks(1, (1024, 1024), block=6.25, ratio=0.7)
    blocks = mask.view(16, 64, 16, 64).permute(0, 2, 1, 3).flatten(2)
    assert torch.equal(blocks.all(dim=2), blocks.any(dim=2))


def test_the_ratio_is_the_share_that_is_hidden() -> None:
    torch.manual_seed(0)
    shown = block_masks(40, (64, 64), block=6.25, ratio=0.7).float().mean().item()
    assert shown == pytest.approx(0.3, abs=0.02)  # 10,240 blocks: four standard deviations are 0.018
    assert block_masks(1, (8, 8), block=10, ratio=0.0).all()
    assert not block_masks(1, (8, 8), block=10, ratio=1.0).any()


def test_a_block_has_at_least_one_pixel() -> None:
    assert block_masks(1, (4, 6), block=0.1, ratio=0.5).shape == (1, 4, 6)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_what_is_hidden_is_zero_after_the_preprocessing(name: str) -> None:
    preprocessing = Preprocessing(name)  # type: ignore[arg-type]
    images = torch.rand(2, 3, 4, 4)
    visible = torch.rand(2, 4, 4) < 0.5
    result = preprocessing(hidden(images, visible, preprocessing.mean_colour))
    assert (result.permute(0, 2, 3, 1)[~visible] == 0).all()
    assert torch.equal(result.permute(0, 2, 3, 1)[visible], preprocessing(images).permute(0, 2, 3, 1)[visible])
