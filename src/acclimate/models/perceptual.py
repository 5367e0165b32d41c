"""VGG-19 as a judge of pictures: five maps of features whose distances say how alike two pictures look."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from acclimate.models.preprocessing import Preprocessing
from acclimate.models.weights import is_imagenet, load_backbone, read_tensors, torchvision_tensors

CONVOLUTIONS = (2, 2, 4, 4, 1)
"""Of each level of VGG-19, as far as conv5_1."""
_RANDOM_SEED = 19


class PerceptualVGG19(nn.Module):
    """relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of VGG-19, with torchvision's keys.

    Forward: RGB pictures (B, 3, H, W) in [-1, 1], at least 16x16, to five maps of 64, 128, 256, 512 and 512 channels,
    at strides 1, 2, 4, 8 and 16.

    Args:
        weights: ``imagenet`` (torchvision's, downloaded once), the path of a safetensors file with its keys, or None:
            random ones, the same every time.
        width: channels of the first level; 64 are VGG-19's.

    Raises:
        UserError: the weights cannot be had, or are of another network or width.
    """

    def __init__(self, *, weights: str | None = None, width: int = 64) -> None:
        super().__init__()
        self.preprocessing = Preprocessing("imagenet")
        layers: list[nn.Module] = []
        self.taken: list[int] = []
        channels = 3
        for level, count in enumerate(CONVOLUTIONS):
            if level > 0:
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            for _ in range(count):
                out_channels = width * min(2**level, 8)
                convolution = nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, device="meta")
                layers += [convolution.to_empty(device="cpu"), nn.ReLU(inplace=True)]
                channels = out_channels
            self.taken.append(len(layers) - 2 * count + 1)
        self.features = nn.Sequential(*layers)
        if weights is None:
            self._draw()
            return
        tensors = torchvision_tensors("vgg19", weights) if is_imagenet(weights) else read_tensors(Path(weights))
        where = "torchvision/vgg19" if is_imagenet(weights) else weights
        later = tuple(f"features.{number}." for number in range(len(layers), 37))
        load_backbone(nn.ModuleDict({"features": self.features}), tensors, where=where, unused=later)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        features = self.preprocessing((pictures + 1) / 2)
        maps = []
        for number, layer in enumerate(self.features):
            features = layer(features)
            if number in self.taken:
                maps.append(features)
        return maps

    def _draw(self) -> None:
        """Random weights, whatever the state of torch's generator: a network to compare with must not change."""
        generator = torch.Generator().manual_seed(_RANDOM_SEED)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
