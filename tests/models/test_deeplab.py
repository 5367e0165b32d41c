"""The published DeepLab-V2 on ResNet-101: counts, sizes, strides, dilations, keys."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from acclimate.models import NetworkConfig, SegmentationNetwork, build_network
from acclimate.models.batch_norm import batch_norms
from acclimate.models.resnet_caffe import resnet_layers


def build(classes: int = 19, **options: object) -> SegmentationNetwork:
    with torch.device("meta"):
        return build_network(NetworkConfig.parse({"name": "deeplab-v2-resnet101", **options}), classes)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("classes", "multi_level", "parameters"),
    [(19, False, 43_901_068), (19, True, 44_601_560), (16, False, 43_679_872), (16, True, 44_269_760)],
)
def test_published_parameter_counts(classes: int, multi_level: bool, parameters: int) -> None:
    assert count(build(classes, multi_level=multi_level)) == parameters


def test_counts_of_the_parts() -> None:
    network = build(multi_level=True)
    assert (count(network.layer6), count(network.layer5)) == (1_400_908, 700_492)  # type: ignore[arg-type]
    assert sum(count(layer) for layer in batch_norms(network)) == 105_344
    body, heads = network.parameter_groups()
    assert sum(p.numel() for p in body.params) == 42_500_160 - 105_344
    assert sum(p.numel() for p in heads.params) == 1_400_908 + 700_492
    assert (body.learning_rate_multiple, heads.learning_rate_multiple) == (1.0, 10.0)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((720, 1280), (91, 161)), ((512, 1024), (65, 129)), ((760, 1280), (96, 161)), ((1024, 2048), (129, 257))],
)
def test_output_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    output = build(multi_level=True)(torch.zeros(1, 3, *size, device="meta"))
    assert output.logits.shape == output.levels["auxiliary"].logits.shape == (1, 19, *expected)
    assert output.features.shape == (1, 2048, *expected)
    assert output.levels["auxiliary"].features.shape == (1, 1024, *expected)


def test_a_single_level_network_has_no_auxiliary_output() -> None:
    output = build()(torch.zeros(1, 3, 64, 64, device="meta"))
    assert list(output.levels) == ["main"]


def test_strides_and_dilations() -> None:
    network = build()
    for name, stride, dilation in (("layer1", 1, 1), ("layer2", 2, 1), ("layer3", 1, 2), ("layer4", 1, 4)):
        blocks = list(getattr(network, name))
        assert [block.conv1.stride[0] for block in blocks] == [stride] + [1] * (len(blocks) - 1)
        assert all(block.conv2.stride == (1, 1) for block in blocks)
        assert all(block.conv2.dilation == block.conv2.padding == (dilation, dilation) for block in blocks)
        assert [block.downsample is not None for block in blocks] == [True] + [False] * (len(blocks) - 1)


def test_the_body_computes_what_an_edited_torchvision_resnet_computes() -> None:
    torch.manual_seed(0)
    layers = resnet_layers((1, 2, 2, 1)).double().eval()
    reference = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 2, 2, 1]).double().eval()
    reference.maxpool.ceil_mode = True
    for layer, stride, dilation in (
        (reference.layer1, 1, 1),
        (reference.layer2, 2, 1),
        (reference.layer3, 1, 2),
        (reference.layer4, 1, 4),
    ):
        layer[0].conv1.stride = (stride, stride)
        layer[0].downsample[0].stride = (stride, stride)
        for block in layer:
            block.conv2.stride, block.conv2.dilation, block.conv2.padding = (1, 1), (dilation,) * 2, (dilation,) * 2
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.3)
    unmatched = reference.load_state_dict(layers.state_dict(), strict=False)
    assert unmatched.missing_keys == ["fc.weight", "fc.bias"]
    assert not unmatched.unexpected_keys
    images = torch.randn(1, 3, 57, 72, dtype=torch.float64)
    features, expected = images, images
    for name, layer in layers.items():
        features = layer(features)
        expected = getattr(reference, name)(expected)
    assert features.shape == (1, 2048, 8, 10)
    torch.testing.assert_close(features, expected)


def test_keys_of_the_authors_multi_level_checkpoints() -> None:
    keys = {key for key in build(multi_level=True).state_dict() if not key.endswith("num_batches_tracked")}
    norm = ("weight", "bias", "running_mean", "running_var")
    expected = {"conv1.weight", *(f"bn1.{kind}" for kind in norm)}
    for layer, blocks in enumerate((3, 4, 23, 3), start=1):
        for block in range(blocks):
            for number in (1, 2, 3):
                expected.add(f"layer{layer}.{block}.conv{number}.weight")
                expected.update(f"layer{layer}.{block}.bn{number}.{kind}" for kind in norm)
        expected.add(f"layer{layer}.0.downsample.0.weight")
        expected.update(f"layer{layer}.0.downsample.1.{kind}" for kind in norm)
    for head in (5, 6):
        for branch in range(4):
            expected.update({f"layer{head}.conv2d_list.{branch}.weight", f"layer{head}.conv2d_list.{branch}.bias"})
    assert keys == expected


def test_single_level_keys_hold_one_head_on_the_last_layer() -> None:
    state = build().state_dict()
    assert state["layer5.conv2d_list.0.weight"].shape == (19, 2048, 3, 3)
    assert not any(key.startswith("layer6") for key in state)


def test_preprocessing_and_branches() -> None:
    assert build().config.options.preprocessing == "caffe"
    network = build(branches=2, multi_level=True)
    assert count(network) == 44_601_560
    heads = network.parameter_groups()[1]
    assert sum(p.numel() for p in heads.params) == (1_400_908 + 700_492) // 2
