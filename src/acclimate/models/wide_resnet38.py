"""Wide ResNet-38, model A1 (Wu, Shen, van den Hengel), as CBST and MLSL use it.

The two-layer head is MLSL's. Blocks are called as in the MXNet release (2a, 2b1, ..., 7a), so that its parameters
``bn2a_branch2a_gamma`` and ``res2a_branch2a_weight`` are ``blocks.2a.bn.branch2a.weight`` and
``blocks.2a.res.branch2a.weight`` here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from acclimate.io.identity import file_named
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.config import NetworkOptions
from acclimate.models.network import MAIN, Level, Output, ParameterGroup, SegmentationNetwork, trainable
from acclimate.models.preprocessing import PreprocessingName
from acclimate.models.weights import load_backbone, read_tensors

_EPSILON = 1.001e-5


class _Convolution(NamedTuple):
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1


class PreActivationBlock(nn.Module):
    """Batch norm, ReLU, convolution, two or three times, added to the input.

    The shortcut of a block that changes shape is a bare 1x1 convolution of the *activated* input.
    """

    def __init__(
        self, in_channels: int, convolutions: list[_Convolution], *, project: bool, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.names = ["branch2a", *(f"branch2b{number}" for number in range(1, len(convolutions)))]
        self.bn = nn.ModuleDict()
        self.res = nn.ModuleDict()
        channels, stride = in_channels, 1
        for name, (out_channels, size, step, dilation) in zip(self.names, convolutions, strict=True):
            self.bn[name] = nn.BatchNorm2d(channels, eps=_EPSILON)
            self.res[name] = nn.Conv2d(
                channels, out_channels, size, stride=step, padding=dilation * (size // 2), dilation=dilation, bias=False
            )
            channels, stride = out_channels, stride * step
        if project:
            self.res["branch1"] = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
        self.project = project
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features
        for name in self.names:
            # not in place: the identity shortcut reads the raw input, the projection the activated one
            features = functional.relu(self.bn[name](features))
            if name == "branch2a" and self.project:
                shortcut = self.res["branch1"](features)
            if name == self.names[-1]:
                features = self.dropout(features)
            features = self.res[name](features)
        return features + shortcut


class WideResNet38Options(NetworkOptions):
    """Settings of Wide ResNet-38.

    Attributes:
        batch_norm: what batch norm does, see :mod:`acclimate.models.batch_norm`.
        weights: of the trunk: the path of a safetensors file, or None for random ones.
        preprocessing: what is subtracted from the image.
    """

    batch_norm: BatchNormSetting = "global"
    weights: str | None = file_named(None)
    preprocessing: PreprocessingName = "imagenet"


class WideResNet38(SegmentationNetwork):
    """Wide ResNet-38 A1 at output stride 8: 124,033,363 parameters with 19 classes.

    Batch norm uses running statistics and trains scales and biases (``global``). Weights learn at the learning rate;
    biases, batch norm's included, at twice that and without weight decay. No auxiliary head.
    """

    name = "wide-resnet38"
    summary = "Wide ResNet-38, model A1, with a two-layer head (CBST, MLSL)"
    Options = WideResNet38Options

    def __init__(self, options: WideResNet38Options, classes: int) -> None:
        super().__init__(options, classes, stride=8, preprocessing=options.preprocessing, batch_norm=options.batch_norm)
        trunk = wide_resnet38_trunk()
        if options.weights is not None:
            load_backbone(trunk, read_tensors(Path(options.weights)), where=options.weights)
        for name, layer in trunk.items():
            self.add_module(name, layer)
        self.conv6a = nn.Conv2d(4096, 512, kernel_size=3, padding=12, dilation=12)
        self.linear = nn.Conv2d(512, classes, kernel_size=3, padding=12, dilation=12)
        for head in self.heads():
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.finish()

    conv1a: nn.Module
    blocks: nn.ModuleDict
    bn7: nn.Module

    def segment(self, images: Tensor) -> Output:
        features = self.conv1a(images)
        for block in self.blocks.values():
            features = block(features)
        features = functional.relu(self.bn7(features))
        logits = self.linear(functional.relu(self.conv6a(features), inplace=True))
        return Output({MAIN: Level(logits, features)})

    def heads(self) -> list[nn.Module]:
        return [self.conv6a, self.linear]

    def parameter_groups(self) -> list[ParameterGroup]:
        """Weights (of batch norm too) and biases, body and head alike."""
        named = dict(self.named_parameters())
        weights = trainable(parameter for name, parameter in named.items() if not name.endswith("bias"))
        biases = trainable(parameter for name, parameter in named.items() if name.endswith("bias"))
        return [
            ParameterGroup("weights", weights),
            ParameterGroup("biases", biases, learning_rate_multiple=2.0, weight_decay_multiple=0.0),
        ]


def wide_resnet38_trunk() -> nn.ModuleDict:
    """Everything before the head, by name: 4,096 channels at stride 8; strides at levels 2 to 4, then dilation.

    The network adopts the entries as its own attributes, so that their keys are the same in both.
    """
    blocks = nn.ModuleDict()
    channels = 64
    for level, count, width in ((2, 3, 128), (3, 3, 256), (4, 6, 512)):
        for number in range(count):
            first = number == 0
            convolutions = [_Convolution(width, stride=2 if first else 1), _Convolution(width)]
            blocks[_name(level, number)] = PreActivationBlock(channels, convolutions, project=first)
            channels = width
    for number in range(3):
        first = number == 0
        convolutions = [_Convolution(512, dilation=1 if first else 2), _Convolution(1024, dilation=2)]
        blocks[_name(5, number)] = PreActivationBlock(channels, convolutions, project=first)
        channels = 1024
    for level, width, dropout in ((6, 512, 0.3), (7, 1024, 0.5)):
        convolutions = [_Convolution(width, 1), _Convolution(2 * width, dilation=4), _Convolution(4 * width, 1)]
        blocks[_name(level, 0)] = PreActivationBlock(channels, convolutions, project=True, dropout=dropout)
        channels = 4 * width
    trunk = nn.ModuleDict(
        {
            "conv1a": nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False),
            "blocks": blocks,
            "bn7": nn.BatchNorm2d(4096, eps=_EPSILON),
        }
    )
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return trunk


def _name(level: int, number: int) -> str:
    return f"{level}a" if number == 0 else f"{level}b{number}"
