"""Discriminators: of output maps (AdaptSegNet, ADVENT) and of features, class by class (FADA, Zhao et al.)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.2


class OutputDiscriminator(nn.Module):
    """Which domain does a map of class probabilities, or of weighted self-information, come from?

    Five 4x4 convolutions of stride 2, without normalisation (Tsai et al., AdaptSegNet, section 3.2; Vu et al., ADVENT,
    section 4.2). Forward: (B, C, H, W), at least 32x32, to logits (B, 1, H // 32, W // 32), without a sigmoid.

    Args:
        classes: number of classes C.
        width: channels of the first convolution, doubled by each of the next three; 64 as published.
        bias: of the convolutions; DISE's have none.
        last_stride: of the last convolution; 1 in DISE.
    """

    def __init__(self, classes: int, *, width: int = 64, bias: bool = True, last_stride: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(classes, width, kernel_size=4, stride=2, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1, bias=bias)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, kernel_size=4, stride=2, padding=1, bias=bias)
        self.conv4 = nn.Conv2d(4 * width, 8 * width, kernel_size=4, stride=2, padding=1, bias=bias)
        self.classifier = nn.Conv2d(8 * width, 1, kernel_size=4, stride=last_stride, padding=1, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = functional.leaky_relu(convolution(maps), _SLOPE, inplace=True)
        logits: Tensor = self.classifier(maps)
        return logits


class FineGrainedDiscriminator(nn.Module):
    """Which domain *and class* does each position of a feature map belong to?

    Two 3x3 convolutions and two parallel 3x3 heads (Wang et al., FADA). Forward: features (B, D, h, w) to logits
    (B, 2K, h, w): first the K classes of the source, then the K classes of the target. Enlarging them to the size of
    the images is the caller's business.

    Args:
        in_channels: channels D of the features.
        classes: number of classes K.
        width: channels of the first convolution, halved by the second; 256 as published.
    """

    def __init__(self, in_channels: int, classes: int, *, width: int = 256) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(width, width // 2, kernel_size=3, padding=1)
        self.source = nn.Conv2d(width // 2, classes, kernel_size=3, padding=1)
        self.target = nn.Conv2d(width // 2, classes, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        features = functional.leaky_relu(self.conv1(features), _SLOPE, inplace=True)
        features = functional.leaky_relu(self.conv2(features), _SLOPE, inplace=True)
        return torch.cat([self.source(features), self.target(features)], dim=1)


class ScoreDiscriminator(nn.Module):
    """Which domain does each place of a map of scores come from, seen by itself?

    Three 1x1 convolutions with dropout of whole channels between them (CyCADA's code, after ADDA). Forward: logits of
    classes (B, C, h, w) to (B, 2, h, w), target first and source second.

    Args:
        classes: number of classes C.
        width: channels of the first convolution, halved by the second; 512 as published.
        dropout: chance of a channel to be dropped.
    """

    def __init__(self, classes: int, *, width: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(classes, width, kernel_size=1)
        self.conv2 = nn.Conv2d(width, max(1, width // 2), kernel_size=1)
        self.classifier = nn.Conv2d(max(1, width // 2), 2, kernel_size=1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, scores: Tensor) -> Tensor:
        for convolution in (self.conv1, self.conv2):
            scores = functional.relu(self.dropout(convolution(scores)))
        logits: Tensor = self.classifier(scores)
        return logits
