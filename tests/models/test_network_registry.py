"""What every registered network must do."""

from __future__ import annotations

import functools

import pytest
import torch

from acclimate.models import NETWORKS, NetworkConfig, Output, SegmentationNetwork, build_network, upsample
from acclimate.models.encoder_decoder import EncoderDecoder

CLASSES = 5


def config(name: str, *, multi_level: bool = False) -> NetworkConfig:
    options: dict[str, object] = {"name": name}
    if name == "deeplab-v2":
        options |= {"backbone": "torchvision/mobilenet_v2", "head": "small-aspp"}
    if name == "encoder-decoder":
        options |= {"backbone": "timm/pvt_v2_b0", "drop_path": 0.0}
    return NetworkConfig.parse(options | ({"multi_level": True} if multi_level else {}))


HEAVY = ("dinov2-b", "dinov2-l", "pvt-daformer", "convnext-upernet")
"""Networks of which only the sizes are tried, on the meta device."""


def variants() -> list[NetworkConfig]:
    return [
        config(name, multi_level=multi_level)
        for name, network in NETWORKS.items()
        for multi_level in ((False, True) if "multi_level" in network.Options.model_fields else (False,))
        if not (multi_level and issubclass(network, EncoderDecoder) and name != "encoder-decoder")
    ]


def named(variant: NetworkConfig) -> str:
    return variant.name + ("+" if getattr(variant.options, "multi_level", False) else "")


VARIANTS = pytest.mark.parametrize("variant", variants(), ids=named)
LIGHT = pytest.mark.parametrize("variant", [v for v in variants() if v.name not in HEAVY], ids=named)


@functools.lru_cache(maxsize=1)
def _real(content: str) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig.model_validate_json(content), CLASSES)


def real(variant: NetworkConfig) -> SegmentationNetwork:
    return _real(variant.model_dump_json())


@LIGHT
def test_parameter_groups_are_disjoint_complete_and_trainable(variant: NetworkConfig) -> None:
    with torch.device("meta"):
        network = build_network(variant, CLASSES)
    grouped = [id(parameter) for group in network.parameter_groups() for parameter in group.params]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    in_heads = {id(p) for head in network.heads() for p in head.parameters()}
    assert in_heads <= {id(p) for p in network.parameters()}


@VARIANTS
def test_sizes_and_levels(variant: NetworkConfig) -> None:
    with torch.device("meta"):
        network = build_network(variant, CLASSES).eval()
        output = network(torch.zeros(2, 3, 128, 192))
    assert isinstance(output, Output)
    assert output.logits.shape[:2] == (2, CLASSES)
    assert abs(output.logits.shape[2] - 128 / network.stride) <= 1
    assert abs(output.logits.shape[3] - 192 / network.stride) <= 1
    with_features = tuple(name for name, level in output.levels.items() if level.features is not None)
    assert with_features == network.levels == (("main", "auxiliary") if named(variant)[-1] == "+" else ("main",))
    found = {name: level.features.shape[1] for name, level in output.levels.items() if level.features is not None}
    assert found == network.feature_channels()


@LIGHT
def test_its_settled_config_builds_it_again(variant: NetworkConfig) -> None:
    with torch.device("meta"):
        network = build_network(variant, CLASSES)
        again = build_network(network.config, CLASSES)
    assert again.config == network.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    assert network.config.model_validate_json(network.config.model_dump_json()) == network.config


@LIGHT
def test_every_trainable_parameter_learns_in_bfloat16_and_channels_last(variant: NetworkConfig) -> None:
    network = real(variant).train().to(memory_format=torch.channels_last)
    network.zero_grad()
    images = torch.rand(2, 3, 64, 96).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images)
    loss = upsample(output.logits, (64, 96)).log_softmax(1)[:, 0].mean()
    if "auxiliary" in output.levels:
        loss = loss + upsample(output.levels["auxiliary"].logits, (64, 96)).log_softmax(1)[:, 0].mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) is parameter.requires_grad, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
    heads = [p.grad for head in network.heads() for p in head.parameters() if p.grad is not None]
    assert all(grad.abs().sum() > 0 for grad in heads)


@LIGHT
def test_bfloat16_agrees_with_float32(variant: NetworkConfig) -> None:
    network = real(variant).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        exact = network(images).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(images).logits.float()
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_described(name: str) -> None:
    assert len(NETWORKS[name].summary) > 20
    assert NETWORKS[name].__doc__


def test_upsampling_aligns_corners_and_leaves_bfloat16() -> None:
    ramp = torch.tensor([[0.0, 1.0, 2.0]]).view(1, 1, 1, 3).to(torch.bfloat16)
    enlarged = upsample(ramp, (1, 5))
    assert enlarged.dtype == torch.float32
    assert enlarged.flatten().tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
