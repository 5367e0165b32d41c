"""The head of PSPNet, as PyCDA's network has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from acclimate.models.decoders.base import Decoder, DecoderOptions, normed, pointwise


class PyramidPoolingOptions(DecoderOptions):
    """Settings of pyramid pooling.

    Attributes:
        channels: of each pooled map and of the last layer.
        grids: how many bins a side each pooling has.
        dropout: before the classifier.
    """

    channels: PositiveInt = 512
    grids: tuple[PositiveInt, ...] = Field(default=(1, 2, 3, 6), min_length=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class PyramidPooling(Decoder):
    """PSPNet (Zhao et al. 2017): the last features beside their means over coarse grids, a 3x3 convolution, logits."""

    name = "psp"
    summary = "PSPNet's head: the last features beside their means over grids of 1, 2, 3 and 6 bins"
    Options = PyramidPoolingOptions

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: PyramidPoolingOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.stride = strides[-1]
        self.grids = options.grids
        self.pooled = nn.ModuleList(pointwise(channels[-1], options.channels) for _ in options.grids)
        together = channels[-1] + len(options.grids) * options.channels
        self.fuse = normed(
            nn.Conv2d(together, options.channels, kernel_size=3, padding=1, bias=False), options.channels
        )
        self.dropout = nn.Dropout2d(options.dropout)
        self.classifier = nn.Conv2d(options.channels, classes, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        last = features[-1]
        size = (last.shape[2], last.shape[3])
        maps = [last]
        for grid, reduce in zip(self.grids, self.pooled, strict=True):
            pooled = reduce(functional.adaptive_avg_pool2d(last, grid))
            maps.append(functional.interpolate(pooled, size=size, mode="bilinear", align_corners=False))
        logits: Tensor = self.classifier(self.dropout(self.fuse(torch.cat(maps, dim=1))))
        return logits
