"""The discriminators of stacked self-information maps and of features."""

from __future__ import annotations

from torch import Tensor, nn

from acclimate.errors import UserError

_SLOPE = 0.2


class MapDiscriminator(nn.Module):
    """4x4 convolutions of stride 2 without normalisation, like the discriminator of segmentation, of any depth.

    Forward: (B, channels, H, W) to logits (B, 1, H // 2**layers, W // 2**layers).

    Args:
        channels: of its input: 270 for SSD-300 with 9 outputs.
        width: channels of the first convolution, doubled by each of the next ones up to the last, which has one.
        layers: number of convolutions; with 5 it is the discriminator of ADVENT.
    """

    def __init__(self, channels: int, *, width: int = 64, layers: int = 5) -> None:
        super().__init__()
        widths = [channels, *(width * 2**depth for depth in range(layers - 1)), 1]
        self.smallest = 2**layers
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[depth], widths[depth + 1], kernel_size=4, stride=2, padding=1) for depth in range(layers)
        )

    def forward(self, maps: Tensor) -> Tensor:
        if min(maps.shape[-2:]) < self.smallest:
            raise UserError(
                f"the detector's largest map is {maps.shape[-1]}x{maps.shape[-2]}, too small for "
                f"{len(self.convolutions)} halvings; set discriminator_layers lower or a larger size"
            )
        for convolution in self.convolutions[:-1]:
            maps = nn.functional.leaky_relu(convolution(maps), _SLOPE, inplace=True)
        logits: Tensor = self.convolutions[-1](maps)
        return logits


class FeatureDiscriminator(nn.Module):
    """Which domain every position of a feature map is of: three 3x3 convolutions (Adaptive Teacher).

    Forward: (B, channels, H, W) to logits (B, 1, H, W).

    Args:
        channels: of its input.
        width: channels of the first convolution; the second has half.
    """

    def __init__(self, channels: int, *, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(width // 2, 1, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features)
        return logits
