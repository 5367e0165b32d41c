"""What a backbone is: images in, a list of feature maps out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acclimate.models.network import evaluation_mode
from acclimate.models.preprocessing import PreprocessingName


class Backbone(nn.Module, ABC):
    """Preprocessed images (B, 3, H, W) to feature maps, from the finest to the coarsest or from the first to the last.

    Attributes:
        channels: of each map.
        strides: input pixels per position of each map; a plain Vision Transformer's are all its patch size.
        preprocessing: what its ImageNet weights were trained with.
    """

    channels: list[int]
    strides: list[int]
    preprocessing: PreprocessingName = "imagenet"

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps, (B, channels[i], H / strides[i], W / strides[i]), rounded up where H and W are no multiples."""

    def depths(self) -> dict[str, int]:
        """How deep each parameter lies: 0 for the stem, counted upwards by blocks of a Transformer, else by stages."""
        order = {name: number for number, (name, _) in enumerate(self.named_children())}
        return {name: order[name.split(".")[0]] for name, _ in self.named_parameters()}

    def undecayed(self) -> set[str]:
        """Parameters besides biases and norms that weight decay should spare: positions and tokens."""
        return set()

    def measure(self) -> None:
        """Finds the channels of the maps by looking at a small image."""
        device = next(self.parameters()).device
        with torch.no_grad(), evaluation_mode(self):
            self.channels = [features.shape[1] for features in self(torch.zeros(1, 3, 64, 64, device=device))]
