"""The channels a network says its features have are those they have."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network

CONFIGS: list[dict[str, Any]] = [
    {"name": "small"},
    {"name": "small", "multi_level": True, "width": 16},
    {"name": "deeplab-v2-resnet101", "multi_level": True},
    {"name": "deeplab-v2-vgg16"},
    {"name": "deeplab-v2", "backbone": "torchvision/mobilenet_v2", "head": "small-aspp", "output_stride": 16},
]


@pytest.mark.parametrize("values", CONFIGS, ids=lambda values: "-".join(map(str, values.values())))
def test_feature_channels_are_those_of_the_output(values: dict[str, Any]) -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig(**values), classes=5).eval()
        output = network(torch.zeros(1, 3, 64, 96))
    found = {"main": output.features.shape[1]}
    if "auxiliary" in output.levels:
        found["auxiliary"] = output.levels["auxiliary"].features.shape[1]
    assert network.feature_channels() == found
    assert ("auxiliary" in found) == values.get("multi_level", False)
