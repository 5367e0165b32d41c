"""The networks of CycleGAN: a residual generator between two looks and a discriminator of 70x70 patches."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Upsampling: TypeAlias = Literal["transposed", "resized"]

GENERATOR_STRIDE = 4
"""Sides of the images a generator takes are multiples of it; :meth:`ResnetGenerator.translate` pads others."""
INITIAL_DEVIATION = 0.02
_SLOPE = 0.2


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm, added to their input; (B, D, h, w) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, padding_mode="reflect")

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.relu(functional.instance_norm(self.conv1(features)))
        return features + functional.instance_norm(self.conv2(inner))


class ResnetGenerator(nn.Module):
    """Pictures of one look to pictures of another (Zhu et al., CycleGAN, appendix: 9 residual blocks at width 64).

    Reflect-padded 7x7 convolution, two of stride 2, residual blocks, two transposed convolutions of stride 2, a 7x7
    convolution and tanh; instance norm without parameters, always with the statistics of the image at hand. With 64
    channels and 9 blocks it has 11,378,179 parameters. Forward: (B, 3, H, W) in [-1, 1], H and W multiples of 4, to the
    same shape and range.

    Args:
        width: channels of the first convolution, doubled by each of the next two.
        blocks: residual blocks.
        upsampling: ``transposed`` convolutions, as published; or ``resized``, the nearest-neighbour enlargement and an
            ordinary convolution of the same size, which cannot leave a checkerboard (Odena et al. 2016).
        residual: learn a change of the picture instead of the picture: twice the output of tanh is added to the input,
            so that values may leave [-1, 1], and an untrained generator is the identity. Not in the paper; for small
            budgets.
        colour_match: the change is of the picture after a straight line per channel, which :meth:`begin_with` sets and
            training leaves alone; needs ``residual``. Not in the paper either.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: int = 9,
        upsampling: Upsampling = "transposed",
        residual: bool = False,
        colour_match: bool = False,
    ) -> None:
        super().__init__()
        assert residual or not colour_match
        self.residual = residual
        self.colour_match = colour_match
        if colour_match:
            self.register_buffer("gain", torch.ones(3, 1, 1))
            self.register_buffer("shift", torch.zeros(3, 1, 1))
        self.entry = nn.Conv2d(3, width, kernel_size=7, padding=3, padding_mode="reflect")
        self.down1 = nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * width, 4 * width, kernel_size=3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(blocks)))
        self.up1 = _enlarging(4 * width, 2 * width, upsampling)
        self.up2 = _enlarging(2 * width, width, upsampling)
        self.exit = nn.Conv2d(width, 3, kernel_size=7, padding=3, padding_mode="reflect")
        initialise(self)
        if residual:
            nn.init.zeros_(self.exit.weight)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for convolution in (self.entry, self.down1, self.down2):
            features = functional.relu(functional.instance_norm(convolution(features)))
        features = self.blocks(features)
        for enlarging in (self.up1, self.up2):
            features = functional.relu(functional.instance_norm(enlarging(features)))
        change: Tensor = self.exit(features)
        if self.residual:
            return (self.matched(images) if self.colour_match else images) + 2 * change.tanh()
        return change.tanh()

    def matched(self, images: Tensor) -> Tensor:
        """Pictures after the line per channel of ``colour_match``: the same shape."""
        line: Tensor = images * self.get_buffer("gain") + self.get_buffer("shift")
        return line

    def begin_with(self, gain: Tensor, shift: Tensor) -> None:
        """Sets the line per channel of ``colour_match``: levels v of [-1, 1] to ``gain`` v + ``shift``, (3,) each."""
        self.get_buffer("gain").copy_(gain.view(3, 1, 1))
        self.get_buffer("shift").copy_(shift.view(3, 1, 1))

    def translate(self, images: Tensor) -> Tensor:
        """RGB in [0, 1], (B, 3, H, W) of any size from 4x4 up, to the same: padded by reflection where needed."""
        height, width = images.shape[-2:]
        missing = (-width % GENERATOR_STRIDE, -height % GENERATOR_STRIDE)
        padded = functional.pad(images, (0, missing[0], 0, missing[1]), mode="reflect")
        translated: Tensor = self(padded * 2 - 1)
        return ((translated[..., :height, :width] + 1) / 2).clamp(0, 1)


def _enlarging(channels: int, to: int, upsampling: Upsampling) -> nn.Module:
    """Twice as wide and high: (B, channels, h, w) to (B, to, 2 h, 2 w)."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(channels, to, kernel_size=3, stride=2, padding=1, output_padding=1)
    convolution = nn.Conv2d(channels, to, kernel_size=3, padding=1, padding_mode="reflect")
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution)


class PatchDiscriminator(nn.Module):
    """Is each 70x70 patch a real picture of its look? (CycleGAN, appendix; Isola et al., pix2pix.)

    Five 4x4 convolutions, the first three of stride 2, instance norm on all but the first and last. At width 64 it has
    2,764,737 parameters. Forward: (B, 3, H, W) in [-1, 1], at least 32x32, to scores (B, 1, H // 8 - 2, W // 8 - 2).

    Args:
        width: channels of the first convolution, doubled by each of the next three.
        norm: instance norm, as published. It hides from the later layers how bright and how coloured a picture is as a
            whole; without it a small discriminator sees that at once.
    """

    def __init__(self, *, width: int = 64, norm: bool = True) -> None:
        super().__init__()
        self.norm = norm
        self.conv1 = nn.Conv2d(3, width, kernel_size=4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, kernel_size=4, stride=2, padding=1)
        self.conv4 = nn.Conv2d(4 * width, 8 * width, kernel_size=4, stride=1, padding=1)
        self.classifier = nn.Conv2d(8 * width, 1, kernel_size=4, stride=1, padding=1)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        features = functional.leaky_relu(self.conv1(images), _SLOPE)
        for convolution in (self.conv2, self.conv3, self.conv4):
            features = convolution(features)
            features = functional.leaky_relu(functional.instance_norm(features) if self.norm else features, _SLOPE)
        scores: Tensor = self.classifier(features)
        return scores


def initialise(module: nn.Module) -> None:
    """Weights of convolutions from N(0, 0.02), biases 0, as published."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, INITIAL_DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
