"""Decoders: sizes by hand, parameters counted by hand, every level read, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.models.decoders import DECODERS, Decoder, build_decoder

CLASSES = 5
PYRAMID = ([8, 16, 24, 32], [4, 8, 16, 32])
DILATED = ([6, 8, 16, 24, 32], [2, 4, 8, 16, 16])
PLAIN = ([32, 32, 32, 32], [14, 14, 14, 14])
CASES: list[tuple[str, tuple[list[int], list[int]], float, dict[str, Any]]] = [
    ("linear", PLAIN, 14, {}),
    ("aspp", DILATED, 16, {}),
    ("small-aspp", PLAIN, 14, {"channels": 8}),
    ("v3plus-light", DILATED, 8, {"channels": 8}),
    ("aspp-se", DILATED, 16, {"channels": 32, "dropout": 0}),
    ("psp", DILATED, 16, {"channels": 8, "dropout": 0}),
    ("v3plus-light", PYRAMID, 8, {"channels": 8}),
    ("deeplab-v3plus", DILATED, 4, {"channels": 8}),
    ("upernet", PYRAMID, 4, {"channels": 8}),
    ("upernet", PLAIN, 14, {"channels": 8}),
    ("fpn", PYRAMID, 4, {"channels": 8, "segmentation_channels": 32, "dropout": 0}),
    ("segformer", PYRAMID, 4, {"channels": 8}),
    ("segformer", PLAIN, 14, {"channels": 8}),
    ("dpt", PLAIN, 1.75, {"channels": 8, "level_channels": [4, 8, 8, 8]}),
    ("vit-pyramid", PLAIN, 3.5, {}),
    ("daformer", PYRAMID, 4, {"channels": 8, "dropout": 0}),
    ("daformer", DILATED, 4, {"channels": 8, "dropout": 0}),
]
EVERY = pytest.mark.parametrize(
    ("name", "maps", "stride", "options"), CASES, ids=[f"{case[0]}-{case[1][1][-1]}" for case in CASES]
)


def built(name: str, maps: tuple[list[int], list[int]], options: dict[str, Any]) -> Decoder:
    torch.manual_seed(0)
    return build_decoder(name, *maps, CLASSES, options=options)


def features(maps: tuple[list[int], list[int]], *, height: int, width: int) -> list[Tensor]:
    """Maps of an image of ``height`` x ``width`` coarsest strides."""
    side = max(maps[1])
    return [
        torch.randn(2, channels, height * side // stride, width * side // stride)
        for channels, stride in zip(*maps, strict=True)
    ]


def test_every_decoder_is_tried() -> None:
    assert {case[0] for case in CASES} == set(DECODERS)


@EVERY
def test_logits_lie_at_the_declared_stride(
    name: str, maps: tuple[list[int], list[int]], stride: float, options: dict[str, Any]
) -> None:
    decoder = built(name, maps, options)
    assert decoder.stride == stride
    side = max(maps[1])
    logits = decoder(features(maps, height=2 * decoder.multiple, width=4))
    assert logits.shape == (2, CLASSES, 2 * decoder.multiple * side / stride, 4 * side / stride)


@EVERY
def test_every_parameter_learns(
    name: str, maps: tuple[list[int], list[int]], stride: float, options: dict[str, Any]
) -> None:
    decoder = built(name, maps, options)
    logits = decoder(features(maps, height=4, width=4))
    (logits * torch.randn_like(logits)).sum().backward()
    # gradients through a norm over one pooled value vanish; a linear layer right before one has no use for its bias
    silent = [key for key, p in decoder.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert [key for key in silent if "psp.blocks.0" not in key] == []


@pytest.mark.parametrize("name", ["upernet", "fpn", "segformer", "daformer"])
def test_every_level_counts(name: str) -> None:
    options = next(case[3] for case in CASES if case[0] == name)
    decoder = built(name, PYRAMID, options)
    levels = [level.requires_grad_() for level in features(PYRAMID, height=2, width=2)]
    decoder(levels).square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in levels)


def count(name: str, maps: tuple[list[int], list[int]], classes: int, **options: Any) -> int:
    with torch.device("meta"):
        decoder = build_decoder(name, *maps, classes, options=options)
    return sum(parameter.numel() for parameter in decoder.parameters())


def separable(inputs: int, outputs: int) -> int:
    """A depthwise 3x3 convolution and a 1x1, each without bias and with batch norm."""
    return 9 * inputs + 2 * inputs + inputs * outputs + 2 * outputs


def pointwise(inputs: int, outputs: int) -> int:
    return inputs * outputs + 2 * outputs


def test_parameters_counted_by_hand() -> None:
    mobilenet = ([16, 24, 32, 96, 320], [2, 4, 8, 16, 16])
    light = pointwise(320, 96) + pointwise(96, 96) + 2 * separable(96, 96) + pointwise(24, 24)
    assert count("v3plus-light", mobilenet, 10) == light + separable(3 * 96 + 24, 96) + (96 + 1) * 10

    pvt = ([64, 128, 320, 512], [4, 8, 16, 32])  # as wide as the levels of DAFormer's encoder
    embeddings = (64 + 128 + 320 + 512 + 4) * 256
    context = pointwise(1024, 256) + 3 * separable(1024, 256)
    bottleneck = 9 * 1024 * 256 + 2 * 256
    assert count("daformer", pvt, 19) == embeddings + context + bottleneck + 257 * 19

    width = 384
    first = 4 * width * width // 2 + width // 2
    second = 4 * (width // 2) * (width // 4) + width // 4
    norms = 2 * (width // 2) + 2 * (width // 4)
    third = 9 * (width // 4) ** 2 + width // 4
    assert count("vit-pyramid", ([width] * 4, [14] * 4), 19) == first + second + norms + third + 19 * width // 4


def test_vfm_udas_classifier_starts_as_published() -> None:
    decoder = built("vit-pyramid", ([2048], [14]), {})
    weight = decoder.get_parameter("classifier.weight")
    assert abs(weight.std().item() - 0.1) < 0.01
    assert abs(weight.mean().item()) < 0.01
    assert decoder.get_submodule("classifier").bias is None


def test_the_linear_layer_is_a_matrix_product() -> None:
    decoder = built("linear", PLAIN, {})
    maps = features(PLAIN, height=2, width=3)
    weight, bias = decoder.get_parameter("classifier.weight"), decoder.get_parameter("classifier.bias")
    expected = torch.einsum("bdhw,cd->bchw", maps[-1], weight[:, :, 0, 0]) + bias.view(1, -1, 1, 1)
    torch.testing.assert_close(decoder(maps), expected)


def test_daformers_context_has_no_image_pooling() -> None:
    """Far from a change nothing changes: dilations reach 18 positions, the bottleneck one more."""
    decoder = built("daformer", PYRAMID, {"channels": 4}).eval()
    first = [torch.randn(1, c, 64 // s, 512 // s) for c, s in zip(*PYRAMID, strict=True)]
    second = [level.clone() for level in first]
    for level, stride in zip(second, PYRAMID[1], strict=True):
        level[..., : 32 // stride] += 1
    with torch.no_grad():
        difference = (decoder(first) - decoder(second)).abs().amax(dim=(0, 1, 2))
    assert difference[:8].min() > 0
    assert difference[8 + 8 + 18 + 1 :].max() == 0


@pytest.mark.parametrize(
    ("name", "maps", "message"),
    [
        ("dpt", PYRAMID, "for plain Vision Transformers"),
        ("fpn", DILATED, r"half as fine as the one before.*\[2, 4, 8, 16, 16\]"),
        ("deeplab-v3plus", PYRAMID, "a last one at 8 or 16.*set output_stride"),
        ("v3plus-light", PLAIN, "needs a map at stride 4"),
        ("daformer", ([8, 8], [16, 32]), "needs 4 maps at stride 4 or more"),
    ],
)
def test_maps_that_do_not_suit_are_refused(name: str, maps: tuple[list[int], list[int]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(name, maps, {})
