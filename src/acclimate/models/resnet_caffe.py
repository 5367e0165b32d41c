"""The residual body of the published DeepLab-V2: Caffe's ResNet, dilated to output stride 8.

It differs from torchvision's dilated ResNet in three ways: the stride sits on the first 1x1 convolution of a block, the
max-pooling rounds sizes up (so maps are larger by one row and column), and *every* block of layer3 and layer4 is
dilated, including the first ones. Keys are those of the authors' checkpoints and of torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

RESNET101_BLOCKS = (3, 4, 23, 3)


class Bottleneck(nn.Module):
    """1x1 (with the stride), 3x3 (with the dilation), 1x1 to four times the planes, each with batch norm."""

    expansion = 4

    def __init__(
        self, in_channels: int, planes: int, *, stride: int = 1, dilation: int = 1, project: bool = False
    ) -> None:
        super().__init__()
        out_channels = planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, planes, kernel_size=1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        features = self.relu(self.bn2(self.conv2(features)))
        features = self.bn3(self.conv3(features))
        return self.relu(features.add_(shortcut))  # type: ignore[no-any-return]


def residual_layer(in_channels: int, planes: int, blocks: int, *, stride: int, dilation: int) -> nn.Sequential:
    """One of the four layers: its first block projects the shortcut, every block has the same dilation."""
    layers = [Bottleneck(in_channels, planes, stride=stride, dilation=dilation, project=True)]
    for _ in range(1, blocks):
        layers.append(Bottleneck(planes * Bottleneck.expansion, planes, dilation=dilation))
    return nn.Sequential(*layers)


def resnet_layers(blocks: Sequence[int] = RESNET101_BLOCKS) -> nn.ModuleDict:
    """The layers of the body by their published names, in order; layer3 ends with 1024 channels, layer4 with 2048.

    A network adopts them as its own attributes so that its keys are those of the authors' checkpoints.

    Args:
        blocks: blocks per residual layer; the default is ResNet-101.
    """
    layers = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False),
            "bn1": nn.BatchNorm2d(64),
            "relu": nn.ReLU(inplace=True),
            "maxpool": nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True),
            "layer1": residual_layer(64, 64, blocks[0], stride=1, dilation=1),
            "layer2": residual_layer(256, 128, blocks[1], stride=2, dilation=1),
            "layer3": residual_layer(512, 256, blocks[2], stride=1, dilation=2),
            "layer4": residual_layer(1024, 512, blocks[3], stride=1, dilation=4),
        }
    )
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
    return layers
