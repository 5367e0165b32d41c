"""What is done to an RGB image in [0, 1] before a network's first convolution."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from acclimate.precision import full_precision

PreprocessingName: TypeAlias = Literal["imagenet", "half", "clip", "caffe", "caffe-vgg", "none"]


class _Constants(NamedTuple):
    bgr: bool
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PREPROCESSINGS: dict[PreprocessingName, _Constants] = {
    # RGB; torchvision's and most of timm's ImageNet weights, FADA, Wide ResNet-38
    "imagenet": _Constants(False, 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # RGB to [-1, 1]; some of timm's weights
    "half": _Constants(False, 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    # RGB; OpenAI's CLIP and EVA-02
    "clip": _Constants(False, 1.0, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    # BGR, 0-255, mean subtracted; the published DeepLab-V2 of AdaptSegNet, ADVENT, ESL and BDL
    "caffe": _Constants(True, 255.0, (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0)),
    # BGR, 0-255, the mean of Caffe's own VGG-16; FADA's VGG-16
    "caffe-vgg": _Constants(True, 255.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    # RGB as it is, for networks that normalise by themselves
    "none": _Constants(False, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Channel order, scale, mean and standard deviation by name; mean and deviation are in the stated order and scale."""


class Preprocessing(nn.Module):
    """Maps RGB in [0, 1], (B, 3, H, W), to the numbers a backbone was trained on, same shape, always in float32.

    The constants are no part of a checkpoint's tensors: the network's config names them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: PreprocessingName) -> None:
        super().__init__()
        constants = PREPROCESSINGS[name]
        self.name = name
        self.bgr = constants.bgr
        # (scale * x - mean) / std written as (x - mean / scale) * (scale / std): one operation less per pixel
        mean = torch.tensor(constants.mean, dtype=torch.float64) / constants.scale
        std = torch.tensor(constants.std, dtype=torch.float64) / constants.scale
        self.register_buffer("mean", mean.float().view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.float().view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.bgr:
            images = images.flip(1)
        return (full_precision(images) - self.mean) / self.std

    @property
    def mean_colour(self) -> Tensor:
        """The RGB colour in [0, 1], (1, 3, 1, 1), that becomes 0."""
        return self.mean.flip(1) if self.bgr else self.mean

    def extra_repr(self) -> str:
        return self.name
