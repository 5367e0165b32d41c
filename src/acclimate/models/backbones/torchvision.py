"""ResNets and feature lists of torchvision, dilated where a smaller stride is asked for.

A classification network reaches stride 32. Taking a stride away and dilating everything after it keeps the weights'
meaning and computes the same features at more positions: sampled at the old stride they are what they were.
"""

from __future__ import annotations

from typing import Any

import torchvision.models
from torch import Tensor, nn

from acclimate.models.backbones.base import Backbone

FEATURE_LISTS = ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_b1")
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d")
_WIDE_RESNETS = ("wide_resnet50_2", "wide_resnet101_2")
TORCHVISION_NAMES = (*_RESNETS, *_WIDE_RESNETS, *FEATURE_LISTS)
"""Names that may follow ``torchvision/``."""


class TorchvisionResNet(Backbone):
    """A torchvision ResNet without its classifier, with torchvision's keys; its maps are those of layer1 to layer4."""

    def __init__(self, name: str, *, output_stride: int) -> None:
        super().__init__()
        model: Any = torchvision.models.get_model(name, weights=None)
        self.conv1: nn.Module = model.conv1
        self.bn1: nn.Module = model.bn1
        self.relu: nn.Module = model.relu
        self.maxpool: nn.Module = model.maxpool
        self.layer1: nn.Module = model.layer1
        self.layer2: nn.Module = model.layer2
        self.layer3: nn.Module = model.layer3
        self.layer4: nn.Module = model.layer4
        dilation = 1
        for layer, stride in ((self.layer3, 16), (self.layer4, 32)):
            dilation = _dilate(layer, before=dilation, remove_stride=stride > output_stride)
        self.strides = [4, 8, min(16, output_stride), min(32, output_stride)]
        self.measure()

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = layer(features)
            maps.append(features)
        return maps


class TorchvisionFeatures(Backbone):
    """A torchvision model whose ``features`` are a list of blocks (MobileNet, EfficientNet), with torchvision's keys.

    Its maps are those before each block that halves the resolution (of the undilated network), and the last.

    Args:
        name: torchvision's.
        output_stride: 8, 16 or 32.
        widened: keep the last block, a 1x1 convolution that widens the features for the classifier (MobileNetV2's 320
            channels to 1280).
    """

    def __init__(self, name: str, *, output_stride: int, widened: bool = True) -> None:
        super().__init__()
        model: Any = torchvision.models.get_model(name, weights=None)
        self.features: nn.Sequential = model.features if widened else model.features[:-1]
        self.last_of_map: list[int] = []
        self.strides = []
        stride, dilation = 1, 1
        for number, block in enumerate(self.features):
            if _has_stride(block):
                if number:
                    self.last_of_map.append(number - 1)
                    self.strides.append(min(stride, output_stride))
                stride *= 2
            dilation = _dilate(block, before=dilation, remove_stride=stride > output_stride and _has_stride(block))
        self.last_of_map.append(len(self.features) - 1)
        self.strides.append(min(stride, output_stride))
        self.measure()

    def forward(self, images: Tensor) -> list[Tensor]:
        features = images
        maps = []
        for number, block in enumerate(self.features):
            features = block(features)
            if number in self.last_of_map:
                maps.append(features)
        return maps


def _dilate(block: nn.Module, *, before: int, remove_stride: bool) -> int:
    """Dilates the convolutions of ``block``, takes its stride away if asked, and returns the dilation that follows.

    The convolution that loses its stride still reads the dense grid of its input, so it gets the dilation ``before``;
    all after it get twice that.
    """
    after = before * 2 if remove_stride else before
    for convolution in block.modules():
        if not isinstance(convolution, nn.Conv2d):
            continue
        dilation = after
        if remove_stride and convolution.stride != (1, 1):
            convolution.stride = (1, 1)
            dilation = before
        if (size := convolution.kernel_size[0]) > 1:
            convolution.dilation = (dilation, dilation)
            convolution.padding = (dilation * (size // 2), dilation * (size // 2))
    return after


def _has_stride(block: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) and layer.stride != (1, 1) for layer in block.modules())
