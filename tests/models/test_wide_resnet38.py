from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from acclimate.models import NetworkConfig, SegmentationNetwork, build_network
from acclimate.models.wide_resnet38 import PreActivationBlock, _Convolution


def build() -> SegmentationNetwork:
    with torch.device("meta"):
        return build_network(NetworkConfig(name="wide-resnet38"), 19)


def test_published_parameter_counts() -> None:
    network = build()
    heads = sum(p.numel() for head in network.heads() for p in head.parameters())
    assert heads == 18_962_451
    assert sum(p.numel() for p in network.parameters()) - heads == 105_070_912


def test_output_stride_and_blocks() -> None:
    network = build()
    assert network(torch.zeros(1, 3, 500, 500, device="meta")).logits.shape == (1, 19, 63, 63)
    names = [
        "2a",
        "2b1",
        "2b2",
        "3a",
        "3b1",
        "3b2",
        "4a",
        "4b1",
        "4b2",
        "4b3",
        "4b4",
        "4b5",
        "5a",
        "5b1",
        "5b2",
        "6a",
        "7a",
    ]
    blocks = network.blocks
    assert list(blocks) == names  # type: ignore[arg-type]
    convolutions = {name: [m for m in blocks[name].modules() if isinstance(m, nn.Conv2d)] for name in names}  # type: ignore[index]
    dilations = {
        name: [c.dilation[0] for c in found if c.kernel_size == (3, 3)] for name, found in convolutions.items()
    }
    assert dilations["4b5"] == [1, 1]
    assert [dilations[name] for name in ("5a", "5b1", "5b2", "6a", "7a")] == [[1, 2], [2, 2], [2, 2], [4], [4]]
    strided = [name for name, found in convolutions.items() if any(c.stride == (2, 2) for c in found)]
    assert strided == ["2a", "3a", "4a"]
    assert [blocks[name].dropout.p for name in ("5b2", "6a", "7a")] == [0.0, 0.3, 0.5]  # type: ignore[index]


def test_biases_learn_twice_as_fast_and_do_not_decay() -> None:
    weights, biases = build().parameter_groups()
    assert (weights.learning_rate_multiple, weights.weight_decay_multiple) == (1.0, 1.0)
    assert (biases.learning_rate_multiple, biases.weight_decay_multiple) == (2.0, 0.0)
    # one beta per batch norm (2 in each block of levels 2 to 5, 3 in levels 6 and 7, bn7) and two head biases
    assert len(biases.params) == 2 * 15 + 3 * 2 + 1 + 2


def test_the_projection_reads_the_activated_input_and_the_identity_the_raw_one() -> None:
    torch.manual_seed(0)
    for project, out_channels in ((True, 6), (False, 4)):
        convolutions = [_Convolution(5), _Convolution(out_channels, dilation=2)]
        block = PreActivationBlock(4, convolutions, project=project).eval()
        for norm in block.bn.values():
            nn.init.uniform_(norm.running_mean, -1, 1)  # type: ignore[arg-type]
        raw = torch.randn(1, 4, 7, 7)
        mean = block.bn["branch2a"].running_mean.view(1, -1, 1, 1)  # type: ignore[union-attr,operator]
        active = ((raw - mean) / (1 + 1.001e-5) ** 0.5).clamp(min=0)
        hidden = functional.conv2d(active, block.res["branch2a"].weight, padding=1)  # type: ignore[arg-type]
        hidden = functional.relu(block.bn["branch2b1"](hidden))
        expected = functional.conv2d(hidden, block.res["branch2b1"].weight, padding=2, dilation=2)  # type: ignore[arg-type]
        shortcut = functional.conv2d(active, block.res["branch1"].weight) if project else raw  # type: ignore[arg-type]
        torch.testing.assert_close(block(raw), expected + shortcut)


def test_running_statistics_and_trained_affine_are_the_default() -> None:
    network = build()
    assert network.config.options.batch_norm == "global"
    assert network.train().training
    assert not network.bn7.training  # type: ignore[union-attr]
    assert network.bn7.weight.requires_grad  # type: ignore[union-attr]


def test_dropout_comes_before_the_last_convolution() -> None:
    block = PreActivationBlock(4, [_Convolution(4, 1), _Convolution(4), _Convolution(4, 1)], project=True, dropout=0.5)
    seen: list[str] = []
    block.dropout.register_forward_hook(lambda *_: seen.append("dropout"))
    for name in block.names:
        block.res[name].register_forward_hook(lambda *_, name=name: seen.append(name))
    block(torch.zeros(1, 4, 5, 5))
    assert seen == ["branch2a", "branch2b1", "dropout", "branch2b2"]


def test_the_head_is_two_convolutions_with_a_relu_between() -> None:
    network = build()
    network.conv1a, network.blocks, network.bn7 = nn.Identity(), nn.ModuleDict(), nn.Identity()
    network.conv6a = nn.Conv2d(3, 4, kernel_size=3, padding=1)
    network.linear = nn.Conv2d(4, 2, kernel_size=3, padding=1)
    torch.manual_seed(0)
    images = torch.randn(1, 3, 6, 7)
    expected = network.linear(network.conv6a(images.clamp(min=0)).clamp(min=0))
    torch.testing.assert_close(network.segment(images).logits, expected)
