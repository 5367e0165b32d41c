"""DISE's networks beside the segmentation network: what is private of a domain, pictures from both, their judges.

Chang et al. 2019, "All about structure".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from acclimate.models.network import SegmentationNetwork
from acclimate.models.shared_batch_norm import SharedBatchNorm, several_processes

CODE = 8
"""Numbers in the private code of a picture."""
ENLARGEMENT = 8
"""How much larger the decoder's pictures are than the structure they are made of."""
_KERNELS = (7, 3, 3, 3, 3)
_SLOPE = 0.2


class PrivateEncoder(nn.Module):
    """The code (B, 8) of what a picture has of its domain alone: its light, its colours.

    Five convolutions of stride 2 with batch norm and ReLU, the mean over places, a fully connected layer. Forward:
    early features (B, D, h, w) to (B, 8).

    Args:
        in_channels: D.
        width: channels of the first convolution, twice and then four times as many in the others.
    """

    def __init__(self, in_channels: int, *, width: int = 64) -> None:
        super().__init__()
        channels = [in_channels, width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            # what a bias adds, batch norm takes away
            nn.Conv2d(channels[i], channels[i + 1], kernel_size=kernel, stride=2, padding=kernel // 2, bias=False)
            for i, kernel in enumerate(_KERNELS)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in channels[1:])
        self.code = nn.Linear(channels[-1], CODE)

    def forward(self, features: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = functional.relu(_normalised(norm, convolution(features)))
        code: Tensor = self.code(features.mean(dim=(2, 3)))
        return code


def _normalised(norm: nn.Module, features: Tensor) -> Tensor:
    """Batch norm; a single value per channel (one small picture) has no deviation and is left to running statistics."""
    assert isinstance(norm, nn.BatchNorm2d)
    shared = isinstance(norm, SharedBatchNorm) and several_processes()  # other processes have values, and wait for it
    if features[:, 0].numel() == 1 and not shared:
        return functional.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    result: Tensor = norm(features)
    return result


class PictureDecoder(nn.Module):
    """A picture from the structure of one picture and the private code of another; one decoder for both domains.

    The structure, 8 width channels made of the code by a small network and the number of the domain are joined, 3x3;
    three residual blocks; three times a transposed convolution and a 3x3 one; tanh. Forward: structures (B, D, h, w),
    codes (B, 8) and numbers (B,) to pictures (B, 3, 8 h, 8 w) in [-1, 1].

    Args:
        in_channels: channels D of the structure.
        width: channels of the last features; 32 published.
    """

    def __init__(self, in_channels: int, *, width: int = 32) -> None:
        super().__init__()
        wide = 8 * width
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(CODE, CODE), nn.ReLU()]
        self.style = nn.Sequential(*layers, nn.Linear(CODE, wide))
        self.entry = _convolution(in_channels + wide + 1, wide)
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolution(wide, wide), nn.Conv2d(wide, wide, 3, padding=1), nn.GroupNorm(1, wide))
            for _ in range(3)
        )
        self.enlarging = nn.ModuleList(
            nn.ConvTranspose2d(8 * width // 2**i, 4 * width // 2**i, 4, stride=2, padding=1, bias=False)
            for i in range(3)
        )
        self.smoothing = nn.ModuleList(_convolution(4 * width // 2**i, 4 * width // 2**i) for i in range(3))
        self.exit = nn.Conv2d(width, 3, kernel_size=3, padding=1)

    def forward(self, structure: Tensor, code: Tensor, domain: Tensor) -> Tensor:
        given = torch.cat([self.style(code), domain[:, None]], dim=1)[:, :, None, None]
        features = self.entry(torch.cat([structure, given.expand(-1, -1, *structure.shape[2:])], dim=1))
        for block in self.blocks:
            features = features + block(features)
        for enlarging, smoothing in zip(self.enlarging, self.smoothing, strict=True):
            features = smoothing(functional.relu(functional.instance_norm(enlarging(features))))
        pictures: Tensor = self.exit(features).tanh()
        return pictures


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3, normalised over channels and places of each picture together, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.GroupNorm(1, out_channels), nn.ReLU()
    )


class PictureDiscriminator(nn.Module):
    """Is a picture a real one of a domain, place by place?

    A 6x6 and three 4x4 convolutions of stride 2, instance norm from the second on, 1x1. Forward: (B, 3, H, W) in
    [-1, 1], at least 32x32, to scores (B, 1, H // 16, W // 16).

    Args:
        width: channels of the first convolution, doubled by each of the next three.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, kernel_size=6, stride=2, padding=2)
        self.others = nn.ModuleList(
            nn.Conv2d(width * 2**i, width * 2 ** (i + 1), kernel_size=4, stride=2, padding=1, bias=False)
            for i in range(3)
        )
        self.classifier = nn.Conv2d(8 * width, 1, kernel_size=1)

    def forward(self, pictures: Tensor) -> Tensor:
        features = functional.leaky_relu(self.first(pictures), _SLOPE)
        for convolution in self.others:
            features = functional.leaky_relu(functional.instance_norm(convolution(features)), _SLOPE)
        scores: Tensor = self.classifier(features)
        return scores


class RememberingPool(nn.Module):
    """A pooling that remembers what it gave last in training, for the private encoders to read."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self._last: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.pool(features)
        if self.training:
            self._last = result
        return result

    def taken(self) -> Tensor:
        """What it gave in the last pass in training; once, so that the pass's memory is let go."""
        assert self._last is not None, "no pass since the features were taken"
        features, self._last = self._last, None
        return features

    def forget(self) -> None:
        """Lets go of passes that nobody asked about."""
        self._last = None


def with_remembered_stem(network: SegmentationNetwork) -> tuple[RememberingPool, int] | None:
    """Lets a residual network remember its pooled stem, in place; None of a network that has no such stem.

    Returns:
        What remembers, and the channels of the stem (64 of ResNets, at stride 4).
    """
    for holder in network.modules():
        pool, norm = getattr(holder, "maxpool", None), getattr(holder, "bn1", None)
        if isinstance(pool, nn.MaxPool2d) and isinstance(norm, nn.BatchNorm2d):
            holder.maxpool = remembering = RememberingPool(pool)
            remembering.train(network.training)
            return remembering, norm.num_features
    return None
