from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from acclimate.models import NetworkConfig, build_network


@pytest.mark.parametrize(("classes", "parameters"), [(19, 29_573_004), (16, 29_462_400)])
def test_published_parameter_counts(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig(name="deeplab-v2-vgg16"), classes)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_keys_strides_and_dilations_of_adaptsegnets_checkpoint() -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig(name="deeplab-v2-vgg16"), 19)
        assert network(torch.zeros(1, 3, 720, 1280)).logits.shape == (1, 19, 90, 160)
    indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31]
    expected = {f"features.{index}.{kind}" for index in indices for kind in ("weight", "bias")}
    expected |= {f"classifier.conv2d_list.{branch}.{kind}" for branch in range(4) for kind in ("weight", "bias")}
    assert set(network.state_dict()) == expected
    dilations = {index: network.features[index].dilation[0] for index in indices}  # type: ignore[index,union-attr]
    assert [dilations[index] for index in indices] == [1] * 10 + [2] * 3 + [4] * 2


def test_torchvisions_weights_land_in_the_right_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = torchvision.models.vgg16(num_classes=2)
    features = original.features.state_dict()
    file = tmp_path / "vgg16.safetensors"
    save_file({f"features.{key}": value for key, value in features.items()}, file)
    network = build_network(NetworkConfig(name="deeplab-v2-vgg16", weights=str(file)), 3).eval()
    images = torch.randn(1, 3, 32, 48)
    ours = network.features[:23](images)  # type: ignore[index,operator]
    torch.testing.assert_close(ours, original.features[:23](images))
    for there, here in ((24, 23), (26, 25), (28, 27)):
        assert torch.equal(network.state_dict()[f"features.{here}.weight"], features[f"{there}.weight"])


def test_both_rules_for_the_heads_learning_rate() -> None:
    with torch.device("meta"):
        adaptsegnet = build_network(NetworkConfig(name="deeplab-v2-vgg16"), 19)
        options = NetworkConfig(name="deeplab-v2-vgg16", head_learning_rate_multiple=10, preprocessing="caffe-vgg")
        fada = build_network(options, 19)
    assert [group.learning_rate_multiple for group in adaptsegnet.parameter_groups()] == [1, 1]
    assert [group.learning_rate_multiple for group in fada.parameter_groups()] == [1, 10]
    assert (adaptsegnet.config.options.preprocessing, fada.config.options.preprocessing) == ("caffe", "caffe-vgg")
