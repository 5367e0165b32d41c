"""Dilated backbones: ResNets and feature lists of torchvision, and whatever timm can dilate.

A classification network reaches stride 32. Taking a stride away and dilating everything after it keeps the weights'
meaning and computes the same features at more positions: sampled at the old stride they are what they were.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
import torchvision.models
from torch import Tensor, nn

from acclimate.errors import UserError, unknown
from acclimate.models.preprocessing import PREPROCESSINGS, PreprocessingName
from acclimate.models.weights import IMAGENET, IMAGENET_V1, downloaded, load_backbone, load_weights, read_tensors

_FEATURE_LISTS = ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_b1")
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d")
_WIDE_RESNETS = ("wide_resnet50_2", "wide_resnet101_2")
TORCHVISION_NAMES = (*_RESNETS, *_WIDE_RESNETS, *_FEATURE_LISTS)
"""Names that may follow ``torchvision/``."""


class Backbone(nn.Module, ABC):
    """Images to two feature maps: before the last change of resolution of the original network, and the last.

    Attributes:
        middle_channels: channels of the first.
        channels: channels of the second.
        preprocessing: what its ImageNet weights were trained with.
    """

    middle_channels: int
    channels: int
    preprocessing: PreprocessingName = "imagenet"

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The middle and the last features, both at the output stride at the least."""

    def measure(self) -> None:
        """Finds the channels of both feature maps by looking at a small image."""
        device = next(self.parameters()).device
        training = self.training
        self.eval()
        with torch.no_grad():
            middle, last = self(torch.zeros(1, 3, 64, 64, device=device))
        self.train(training)
        self.middle_channels, self.channels = middle.shape[1], last.shape[1]


class TorchvisionResNet(Backbone):
    """A torchvision ResNet without its classifier, with torchvision's keys; middle features are those of layer3."""

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
        self.measure()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        middle: Tensor = self.layer3(self.layer2(self.layer1(features)))
        return middle, self.layer4(middle)


class TorchvisionFeatures(Backbone):
    """A torchvision model whose ``features`` are a list of blocks (MobileNet, EfficientNet), with torchvision's keys.

    Middle features are those before the last block that halves the resolution (stride 32 originally).
    """

    def __init__(self, name: str, *, output_stride: int) -> None:
        super().__init__()
        model: Any = torchvision.models.get_model(name, weights=None)
        self.features: nn.Sequential = model.features
        stride, dilation = 1, 1
        for number, block in enumerate(self.features):
            if _has_stride(block):
                stride *= 2
                self.middle = number - 1
            dilation = _dilate(block, before=dilation, remove_stride=stride > output_stride and _has_stride(block))
        self.measure()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = images
        middle = images
        for number, block in enumerate(self.features):
            features = block(features)
            if number == self.middle:
                middle = features
        return middle, features


class TimmBackbone(Backbone):
    """Any timm model that gives feature maps and can be dilated; keys are timm's below ``model.``."""

    def __init__(self, name: str, *, output_stride: int, pretrained: bool) -> None:
        import timm

        super().__init__()
        if not timm.is_model(name):
            raise unknown("timm model", name, timm.list_models())

        def create() -> Any:
            return timm.create_model(name, features_only=True, output_stride=output_stride, pretrained=pretrained)

        try:
            self.model: nn.Module = downloaded(f"timm/{name}", create) if pretrained else create()
        except (TypeError, ValueError, NotImplementedError, RuntimeError, AssertionError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"timm/{name} cannot give feature maps at output stride {output_stride} ({error}); choose a "
                "convolutional model (resnet18, mobilenetv3_large_100, efficientnet_b0, ...) or the other stride"
            ) from error
        information: Any = self.model.feature_info
        if information.reduction()[-1] != output_stride:
            raise UserError(
                f"timm/{name} has stride {information.reduction()[-1]} whatever is asked, not {output_stride}; choose "
                "a model that can be dilated (resnet18, mobilenetv3_large_100, efficientnet_b0, ...)"
            )
        *_, self.middle_channels, self.channels = information.channels()
        self.preprocessing = _preprocessing_of(name, self.model)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        *_, middle, last = self.model(images)
        return middle, last


def build_backbone(name: str, *, output_stride: int, weights: str | None) -> Backbone:
    """The backbone ``torchvision/NAME`` or ``timm/NAME``, dilated to ``output_stride`` (8 or 16), with its weights.

    Args:
        name: library and model.
        output_stride: input pixels per position of both feature maps.
        weights: ``imagenet``, the path of a safetensors file with the library's own keys, or None for random.

    Raises:
        UserError: an unknown name, a model that cannot be dilated, or weights that are absent or of another backbone.
    """
    library, _, model = name.partition("/")
    if library == "timm" and model:
        if weights == IMAGENET_V1:
            raise UserError(f"weights {IMAGENET_V1!r} are torchvision's; {name} has {IMAGENET!r}, or give a file")
        backbone = TimmBackbone(model, output_stride=output_stride, pretrained=weights == IMAGENET)
        if weights is not None and weights != IMAGENET:
            load_backbone(backbone.model, read_tensors(Path(weights)), where=weights)
        return backbone
    if library != "torchvision":
        raise UserError(
            f"backbone {name!r} is neither 'torchvision/NAME' nor 'timm/NAME'; "
            "for instance 'torchvision/mobilenet_v2' or 'timm/resnet18'"
        )
    if model not in TORCHVISION_NAMES:
        raise unknown("backbone", name, [f"torchvision/{known}" for known in TORCHVISION_NAMES])
    kind = TorchvisionFeatures if model in _FEATURE_LISTS else TorchvisionResNet
    vision: Backbone = kind(model, output_stride=output_stride)
    load_weights(vision, weights, torchvision_name=model)
    return vision


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


def _preprocessing_of(name: str, model: nn.Module) -> PreprocessingName:
    """The preprocessing that timm names for a model; ImageNet's where it names none."""
    configuration: Any = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if not configuration.get("mean") or not configuration.get("std"):
        return "imagenet"
    mean, std = tuple(configuration["mean"]), tuple(configuration["std"])
    for known, constants in PREPROCESSINGS.items():
        if (mean, std) == (constants.mean, constants.std):
            return known
    raise UserError(
        f"timm/{name} expects images with mean {mean} and deviation {std}, which none of the preprocessings "
        f"{', '.join(PREPROCESSINGS)} is; choose another backbone"
    )
