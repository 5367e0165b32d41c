"""HRDA: geometry and fusion by hand, and the network against a slow fusion of its own passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from acclimate.errors import UserError
from acclimate.models.config import NetworkConfig
from acclimate.models.hrda import (
    HRDA,
    averaged,
    detail_region,
    detail_windows,
    fused,
    grid_of,
    inserted,
    on_grid,
)
from acclimate.models.network import Region, evaluation_mode
from acclimate.models.registry import build_network


def network(**options: object) -> HRDA:
    torch.manual_seed(0)
    values = {
        "backbone": "torchvision/mobilenet_v2",
        "decoder": "v3plus-light",
        "output_stride": 16,
        "detail": [64, 64],
    }
    built = build_network(NetworkConfig.parse({"name": "hrda", **values, **options}), 4)
    assert isinstance(built, HRDA)
    return built


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_crops_lie_on_the_common_grid_and_inside() -> None:
    torch.manual_seed(0)
    places = [detail_region((100, 203), (104, 208), (32, 64), multiple=8) for _ in range(300)]
    assert {(place.height, place.width) for place in places} == {(32, 64)}
    assert {place.top for place in places} == set(range(0, 69, 8))
    assert {place.left for place in places} == set(range(0, 140, 8))


def test_a_small_picture_is_the_crop_itself() -> None:
    assert detail_region((30, 200), (32, 208), (64, 64), multiple=8)[::2] == (0, 32)


def test_windows_cover_everything_and_overlap_by_half() -> None:
    """512 of 1024 pixels every 256, as published: nine windows."""
    windows = detail_windows((1024, 1024), (512, 512), multiple=8)
    assert sorted({window.top for window in windows}) == [0, 256, 512]
    assert len(windows) == 9
    assert len(detail_windows((1024, 1024), (512, 512), multiple=8, overlap=False)) == 4
    uneven = detail_windows((48, 80), (32, 32), multiple=16)
    assert sorted({(window.top, window.left) for window in uneven}) == [
        (top, left) for top in (0, 16) for left in (0, 16, 32, 48)
    ]
    assert detail_windows((32, 32), (64, 64), multiple=8) == [Region(0, 0, 32, 32)]


def test_the_grid_is_the_contexts_position() -> None:
    assert grid_of(4, 2) == 8
    assert grid_of(3.5, 2) == 7
    with pytest.raises(UserError, match="no common grid; take a multiple of 2"):
        grid_of(3.5, 3)


# --- fusion ------------------------------------------------------------


def test_without_attention_the_context_is_all_and_with_it_the_detail() -> None:
    context, detail = torch.randn(1, 2, 3, 3), torch.randn(1, 2, 6, 6)
    enlarged = functional.interpolate(context, size=(6, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(fused(context, detail, torch.zeros(1, 2, 3, 3)), enlarged)
    torch.testing.assert_close(fused(context, detail, torch.ones(1, 1, 3, 3)), detail)


def test_attention_says_for_each_class_whom_to_believe() -> None:
    context, detail = torch.full((1, 2, 2, 2), 8.0), torch.full((1, 2, 4, 4), 4.0)
    attention = torch.tensor([0.25, 1.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    result = fused(context, detail, attention)
    assert result[0, 0].unique().tolist() == [7.0]
    assert result[0, 1].unique().tolist() == [4.0]


def test_nothing_is_believed_outside_the_crop() -> None:
    crop, attention = torch.ones(1, 1, 2, 4), torch.full((1, 1, 4, 4), 0.5)
    detail, masked = inserted(crop, attention, Region(2, 4, 2, 4), (8, 8))
    assert detail[0, 0].nonzero().tolist() == [[row, column] for row in (2, 3) for column in (4, 5, 6, 7)]
    assert masked[0, 0].nonzero().tolist() == [[1, 2], [1, 3]]
    assert masked.max() == 0.5
    assert attention.min() == 0.5


def test_windows_are_averaged_where_they_overlap() -> None:
    windows = [
        (Region(0, 0, 1, 2), torch.tensor([[[[1.0, 3.0]]]])),
        (Region(0, 1, 1, 2), torch.tensor([[[[5.0, 7.0]]]])),
    ]
    assert averaged(windows, (1, 3)).tolist() == [[[[1.0, 4.0, 7.0]]]]


def test_places_are_counted_in_positions() -> None:
    assert on_grid(Region(8, 16, 32, 64), 4) == Region(2, 4, 8, 16)
    assert on_grid(Region(7, 14, 28, 42), 3.5) == Region(2, 4, 8, 12)


# --- the network ------------------------------------------------------------------------------------------------------


def parts(net: HRDA, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Preprocessed images, and logits and attention of the context."""
    images = net.preprocessing(images)
    maps = net.backbone(functional.interpolate(images, scale_factor=0.5, mode="bilinear", align_corners=False))
    context = net.decoder(maps)
    assert net.attention is not None
    attention = net.attention(maps).sigmoid()
    return images, context, functional.interpolate(attention, size=context.shape[2:], mode="bilinear")


def test_with_gradients_one_crop_is_seen_and_fused() -> None:
    net = network().eval()
    images = torch.rand(2, 3, 128, 192)
    torch.manual_seed(3)
    output = net(images)
    place = output.levels["detail"].region
    assert place is not None
    assert (place.height, place.width) == (64, 64)
    assert place.top % 16 == place.left % 16 == 0
    with torch.no_grad():
        prepared, context, attention = parts(net, images)
        crop = net.decoder(net.backbone(place.of(prepared)))
    torch.testing.assert_close(output.levels["detail"].logits, crop)
    expected = torch.empty(2, 4, 16, 24)
    rows, columns = range(place.top // 16, (place.top + 64) // 16), range(place.left // 16, (place.left + 64) // 16)
    inside = torch.zeros(8, 12, dtype=torch.bool)
    for row in rows:
        for column in columns:
            inside[row, column] = True
    attention = attention * inside
    up = functional.interpolate(attention, scale_factor=2, mode="bilinear")
    expected = functional.interpolate((1 - attention) * context, scale_factor=2, mode="bilinear")
    top, left = place.top // 8, place.left // 8
    expected[:, :, top : top + 8, left : left + 8] += up[:, :, top : top + 8, left : left + 8] * crop
    torch.testing.assert_close(output.logits, expected)
    assert (output.levels["main"].weight, output.levels["detail"].weight) == (0.9, 0.1)
    (output.logits.sum() + output.levels["detail"].logits.sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_without_gradients_windows_cover_the_picture() -> None:
    net = network().eval()
    images = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        output = net(images)
        prepared, context, attention = parts(net, images)
        total, count = torch.zeros(1, 4, 8, 16), torch.zeros(8, 16)
        for left in (0, 32, 64):
            total[..., left // 8 : left // 8 + 8] += net.decoder(net.backbone(prepared[..., left : left + 64]))
            count[:, left // 8 : left // 8 + 8] += 1
        expected = functional.interpolate((1 - attention) * context, scale_factor=2, mode="bilinear")
        expected = expected + functional.interpolate(attention, scale_factor=2, mode="bilinear") * total / count
    assert list(output.levels) == ["main"]
    torch.testing.assert_close(output.logits, expected)


@pytest.mark.parametrize("size", [(64, 64), (50, 100), (97, 33)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    net = network(attention="single").eval()
    images = torch.rand(1, 3, *size)
    output = net(images)
    cells = (-(-size[0] // 8), -(-size[1] // 8))
    assert output.logits.shape == (1, 4, *cells)
    detail = output.levels["detail"]
    assert detail.region is not None
    assert detail.region.top + detail.region.height <= size[0]
    assert detail.region.left + detail.region.width <= size[1]
    with torch.no_grad():
        assert net(images).logits.shape == (1, 4, *cells)
        assert net.features_of(images).shape == net(images).features.shape


def test_the_same_crop_is_drawn_again_from_the_same_seed() -> None:
    net = network(attention="fixed").eval()
    images = torch.rand(1, 3, 128, 192)
    outputs = []
    for seed in (1, 1, 2, 3):
        torch.manual_seed(seed)
        outputs.append(net(images))
    assert torch.equal(outputs[0].logits, outputs[1].logits)
    assert any(not torch.equal(outputs[0].logits, other.logits) for other in outputs[2:])


def test_evaluation_is_a_function_of_the_picture_alone() -> None:
    net = network()
    images = torch.rand(1, 3, 96, 96)
    with evaluation_mode(net), torch.no_grad():
        torch.manual_seed(0)
        first = net(images).logits
        torch.manual_seed(1)
        assert torch.equal(first, net(images).logits)


def test_details_that_do_not_fit_the_backbone_are_told() -> None:
    with pytest.raises(UserError, match=r"network.detail is \[60, 64\].*multiples of 16 pixels, such as \[64, 64\]"):
        network(detail=[60, 64])
    with pytest.raises(UserError, match="multi_level: the second level of hrda is its detail"):
        network(multi_level=True)
