"""Padding images and cutting maps."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from acclimate.models.padding import cut, padded


def test_images_are_padded_with_zeros_to_the_right_and_below() -> None:
    images = torch.rand(2, 3, 10, 14)
    found = padded(images, 7)
    assert found.shape == (2, 3, 14, 14)
    assert torch.equal(found[:, :, :10], images)
    assert found[:, :, 10:].abs().sum() == 0
    assert torch.equal(padded(images[:, :, :7], 7), images[:, :, :7])


@pytest.mark.parametrize("size", [(28, 42), (24, 40), (15, 29), (20, 42)])
@pytest.mark.parametrize("stride", [2, 4, 14, 3.5])
def test_a_cut_map_covers_the_image_and_nothing_else(size: tuple[int, int], stride: float) -> None:
    """A map that holds the place of each position's centre holds the centres of equal parts of the image afterwards."""
    whole = tuple(math.ceil(pixels / 28) * 28 for pixels in size)
    rows = (torch.arange(int(whole[0] / stride)) + 0.5) * stride
    columns = (torch.arange(int(whole[1] / stride)) + 0.5) * stride
    maps = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]
    found = cut(maps, size, stride=stride)
    height, width = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
    assert found.shape == (1, 2, height, width)
    expected_rows = (torch.arange(height) + 0.5) * size[0] / height
    expected_columns = (torch.arange(width) + 0.5) * size[1] / width
    # beyond the centre of the first position there is nothing to interpolate with
    expected_rows, expected_columns = expected_rows.clamp(min=stride / 2), expected_columns.clamp(min=stride / 2)
    torch.testing.assert_close(found[0, 0], expected_rows[:, None].expand(height, width), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found[0, 1], expected_columns[None].expand(height, width), atol=1e-4, rtol=1e-5)


def test_where_positions_end_with_the_image_values_are_kept_as_they_are() -> None:
    maps = torch.rand(1, 3, 8, 8).to(torch.bfloat16)
    assert torch.equal(cut(maps, (21, 28), stride=3.5), maps[:, :, :6])
    assert cut(maps, (28, 28), stride=3.5) is maps


def test_gradients_reach_only_what_the_image_shows() -> None:
    maps = torch.rand(1, 1, 4, 4, requires_grad=True)
    cut(maps, (20, 56), stride=14).sum().backward()
    reached = maps.grad.abs().sum(dim=(0, 1, 3)) > 0  # type: ignore[union-attr]
    assert reached.tolist() == [True, True, False, False]
    assert functional.relu(maps.grad).sum() > 0  # type: ignore[arg-type]
