"""What publications differ in: initial values, FADA's ResNet, and which ImageNet weights a network starts from."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.models import NetworkConfig, SegmentationNetwork, build_network
from acclimate.models.aspp import ASPP
from acclimate.models.batch_norm import batch_norms, set_epsilon
from acclimate.models.weights import torchvision_tensors

FADA = {
    "name": "deeplab-v2",
    "backbone": "torchvision/resnet101",
    "batch_norm": "frozen",
    "batch_norm_epsilon": 0,
    "preprocessing": "imagenet",
}


def build(options: dict[str, Any], classes: int = 19) -> SegmentationNetwork:
    with torch.device("meta"):
        return build_network(NetworkConfig.parse(options), classes)


def test_fadas_resnet_is_torchvisions_dilated_one() -> None:
    network = build(FADA)
    assert network(torch.zeros(1, 3, 720, 1280, device="meta")).logits.shape == (1, 19, 90, 160)
    # the body of 1.3, the head on 2048 channels
    assert sum(p.numel() for p in network.parameters()) == 42_500_160 + 1_400_908
    with torch.device("meta"):
        reference = torchvision.models.resnet101(replace_stride_with_dilation=[False, True, True])
    for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        ours = [str(layer) for layer in getattr(network.backbone, name).modules() if not list(layer.children())]
        theirs = [str(layer) for layer in getattr(reference, name).modules() if not list(layer.children())]
        assert [text.replace("eps=0.0", "eps=1e-05") for text in ours] == theirs
    assert [group.learning_rate_multiple for group in network.parameter_groups()] == [1.0, 10.0]
    assert all(layer.eps == 0 and not layer.training for layer in batch_norms(network.train()))


def test_epsilon_by_hand() -> None:
    """Variance 1e-6, mean 0.5, x = 0.502: 2 without epsilon, 0.002 / sqrt(1.1e-5) = 0.603 with the usual one."""
    norm = nn.BatchNorm2d(1)
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(1e-6)
    value = torch.full((1, 1, 1, 1), 0.502)
    norm.eval()
    assert norm(value).item() == pytest.approx(0.002 / math.sqrt(1.1e-5), rel=1e-3)
    set_epsilon(norm, 0.0, setting="frozen")
    assert norm(value).item() == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("setting", ["published", "trained"])
def test_no_epsilon_needs_running_statistics(setting: str) -> None:
    with pytest.raises(UserError, match=r"batch_norm_epsilon 0 divides by the bare variance"):
        build({**FADA, "batch_norm": setting})


def test_a_running_variance_of_zero_is_named() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    variance: Tensor = module[1].running_var  # type: ignore[assignment]
    variance[1] = 0
    with pytest.raises(UserError, match=r"a running variance of 0 in 1,"):
        set_epsilon(module, 0.0, setting="frozen")


def test_the_epsilon_is_left_alone_unless_asked_for() -> None:
    assert {layer.eps for layer in batch_norms(build({**FADA, "batch_norm_epsilon": None}))} == {1e-5}
    with pytest.raises(UserError, match=r"deeplab-v2-resnet101: unknown key 'batch_norm_epsilon'"):
        build({"name": "deeplab-v2-resnet101", "batch_norm_epsilon": 0})


def test_initial_values_of_the_published_resnet() -> None:
    """Convolutions from N(0, 0.01), batch norm 1 and 0; the head's biases within 1 / sqrt(fan-in)."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="deeplab-v2-resnet101"), 19)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            error = 0.01 / layer.weight.numel() ** 0.5
            assert abs(layer.weight.mean().item()) < 5 * error
            assert abs(layer.weight.std().item() - 0.01) < 5 * error
        elif isinstance(layer, nn.BatchNorm2d):
            assert bool((layer.weight == 1).all()) and bool((layer.bias == 0).all())  # noqa: PT018
        elif isinstance(layer, ASPP):
            bound = (9 * 2048) ** -0.5
            for convolution in layer.conv2d_list:
                bias: Tensor = convolution.bias  # type: ignore[assignment]
                assert 0.5 * bound < bias.abs().max() <= bound


@pytest.mark.parametrize(("weights", "expected"), [("imagenet", "IMAGENET1K_V2"), ("imagenet-v1", "IMAGENET1K_V1")])
def test_which_imagenet_weights(monkeypatch: pytest.MonkeyPatch, weights: str, expected: str) -> None:
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", lambda self, **_: {"name": self.name})
    assert torchvision_tensors("resnet101", weights) == {"name": expected}
    assert torchvision_tensors("vgg16", weights) == {"name": "IMAGENET1K_V1"}


@pytest.mark.parametrize("name", ["deeplab-v2-resnet101", "deeplab-v2-vgg16"])
def test_first_imagenet_weights_bring_their_preprocessing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked = []

    def nothing(*arguments: Any, **_: Any) -> dict[str, Tensor]:
        asked.append(arguments)
        return {}

    for module in ("deeplab", "vgg"):
        monkeypatch.setattr(
            f"acclimate.models.{module}.load_{'weights' if module == 'deeplab' else 'backbone'}", nothing
        )
    monkeypatch.setattr("acclimate.models.vgg.torchvision_tensors", nothing)
    assert build({"name": name, "weights": "imagenet-v1"}).config.options.preprocessing == "imagenet"
    assert any("imagenet-v1" in arguments for arguments in asked)


def test_timm_has_no_first_weights() -> None:
    with pytest.raises(UserError, match=r"'imagenet-v1' are torchvision's"):
        build({"name": "deeplab-v2", "backbone": "timm/resnet18", "weights": "imagenet-v1"})
