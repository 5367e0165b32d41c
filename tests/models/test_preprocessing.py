from __future__ import annotations

import pytest
import torch

from acclimate.models.preprocessing import PREPROCESSINGS, Preprocessing

PIXEL = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)  # red 255, green 127.5, blue 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # (1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0 - 0.406) / 0.225
        ("imagenet", [2.2489083, 0.1964286, -1.8044444]),
        ("half", [1.0, 0.0, -1.0]),
        # blue, green, red: 0 - 104.00698793, 127.5 - 116.66876762, 255 - 122.67891434
        ("caffe", [-104.00698793, 10.83123238, 132.32108566]),
        ("caffe-vgg", [-103.939, 10.721, 131.32]),
    ],
)
def test_values_computed_by_hand(name: str, expected: list[float]) -> None:
    torch.testing.assert_close(Preprocessing(name)(PIXEL).flatten(), torch.tensor(expected), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_stays_in_float32_and_channels_last_and_out_of_checkpoints(name: str) -> None:
    preprocessing = Preprocessing(name)
    images = torch.rand(2, 3, 6, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        result = preprocessing(images)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert not preprocessing.state_dict()
