"""Several networks as one: the softmax of its logits is the mean of theirs."""

from __future__ import annotations

import torch

from acclimate.models.config import NetworkConfig
from acclimate.models.ensemble import MeanOfNetworks
from acclimate.models.registry import build_network
from acclimate.models.resize import upsample


def test_the_softmax_of_its_logits_is_the_mean_of_theirs() -> None:
    torch.manual_seed(0)
    networks = [build_network(NetworkConfig(name="small", width=16), 4).eval() for _ in range(3)]
    images = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        found = MeanOfNetworks(networks)(images).logits.softmax(dim=1)
        mean = torch.stack([network(images).logits.softmax(dim=1) for network in networks]).mean(dim=0)
    assert torch.allclose(found, mean, atol=1e-6)


def test_a_network_of_another_stride_is_enlarged_first() -> None:
    torch.manual_seed(0)
    fine = build_network(NetworkConfig(name="small", width=16), 4).eval()
    coarse = build_network(
        NetworkConfig.model_validate({"name": "deeplab-v2", "backbone": "torchvision/resnet18", "output_stride": 16}), 4
    ).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, second = fine(images).logits, coarse(images).logits
        found = MeanOfNetworks([fine, coarse])(images).logits.softmax(dim=1)
    mean = (first.softmax(dim=1) + upsample(second, (8, 8)).softmax(dim=1)) / 2
    assert second.shape[-1] == 4
    assert torch.allclose(found, mean, atol=1e-6)
