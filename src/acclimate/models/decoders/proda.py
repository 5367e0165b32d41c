"""The head of ProDA's network: atrous pooling with squeeze and excitation, and 256 features before the classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from acclimate.models.aspp import PUBLISHED_RATES
from acclimate.models.decoders.base import Decoder, DecoderOptions

GROUPS = 32


class SqueezedASPPOptions(DecoderOptions):
    """Settings of the head.

    Attributes:
        channels: of each branch and of the last features.
        rates: dilation rates beside the 1x1 branch.
        dropout: of the last features' channels.
        reduction: of the squeeze.
    """

    channels: PositiveInt = Field(default=256, multiple_of=GROUPS)
    rates: tuple[int, ...] = Field(default=PUBLISHED_RATES, min_length=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    reduction: PositiveInt = 16


class SqueezedASPP(Decoder):
    """Branches of 1x1 and dilated 3x3 with group norm, weighed by channel, a 3x3 convolution and a 1x1 classifier.

    Its last features, after dropout, are the network's: ProDA's prototypes live there.
    """

    name = "aspp-se"
    summary = "ProDA's head: dilated branches with group norm, weighed by channel, and features of 256 channels"
    Options = SqueezedASPPOptions

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: SqueezedASPPOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.stride = strides[-1]
        width = self.embedding_channels = options.channels
        inputs = channels[-1]
        branches = [nn.Conv2d(inputs, width, kernel_size=1)]
        branches += [nn.Conv2d(inputs, width, kernel_size=3, padding=rate, dilation=rate) for rate in options.rates]
        self.branches = nn.ModuleList(
            nn.Sequential(branch, nn.GroupNorm(GROUPS, width), nn.ReLU(inplace=True)) for branch in branches
        )
        together = width * len(branches)
        squeezed = max(1, together // options.reduction)
        self.excitation = nn.Sequential(
            nn.Linear(together, squeezed), nn.ReLU(inplace=True), nn.Linear(squeezed, together), nn.Sigmoid()
        )
        self.fuse = nn.Sequential(nn.Conv2d(together, width, kernel_size=3, padding=1), nn.GroupNorm(GROUPS, width))
        self.dropout = nn.Dropout2d(options.dropout)
        self.classifier = nn.Conv2d(width, classes, kernel_size=1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def embedded(self, features: list[Tensor]) -> Tensor:
        maps = torch.cat([branch(features[-1]) for branch in self.branches], dim=1)
        weights = self.excitation(maps.mean(dim=(2, 3)))
        result: Tensor = self.dropout(self.fuse(maps * weights[:, :, None, None]))
        return result

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.classified(self.embedded(features))

    def classified(self, embedding: Tensor) -> Tensor:
        logits: Tensor = self.classifier(embedding)
        return logits
