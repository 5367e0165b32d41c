"""Decoders of the DeepLab family that papers and trials of domain adaptation use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from acclimate.errors import UserError
from acclimate.models.aspp import ASPP, SmallASPP
from acclimate.models.decoders.base import FINEST, Decoder, DecoderOptions, pointwise, separable

RATES = {8: (6, 12, 18, 24), 16: (3, 6, 9, 12), 32: (1, 3, 5, 6)}
"""Default dilation rates by stride of the features: the published ones at 8, about the same extent at others."""


class ASPPOptions(DecoderOptions):
    """Settings of DeepLab-V2's head.

    Attributes:
        rates: dilation rates of the parallel convolutions; None: those of the features' stride.
    """

    rates: tuple[int, ...] | None = Field(default=None, min_length=1)


class SmallASPPOptions(ASPPOptions):
    """Settings of the small head.

    Attributes:
        channels: to which the features are reduced first.
    """

    channels: PositiveInt = 96


class ASPPDecoder(Decoder):
    """DeepLab-V2's head on the last features: dilated convolutions to logits, summed."""

    name = "aspp"
    summary = "DeepLab-V2's head: dilated convolutions whose logits are summed"
    Options = ASPPOptions

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: ASPPOptions) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.stride = strides[-1]
        self.head = ASPP(channels[-1], classes, rates=options.rates or usual_rates(strides[-1]))

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.head(features[-1])
        return logits


class SmallASPPDecoder(Decoder):
    """The same on fewer channels."""

    name = "small-aspp"
    summary = "DeepLab-V2's head on features reduced to fewer channels"
    Options = SmallASPPOptions

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: SmallASPPOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.stride = strides[-1]
        rates = options.rates or usual_rates(strides[-1])
        self.head = SmallASPP(channels[-1], classes, channels=options.channels, rates=rates)

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.head(features[-1])
        return logits


class LightV3PlusOptions(DecoderOptions):
    """Settings of the light DeepLab-V3+.

    Attributes:
        channels: of the context and of the last layer.
        detail_channels: of the features at stride 4.
        rates: of the two dilated convolutions.
    """

    channels: PositiveInt = 96
    detail_channels: PositiveInt = 24
    rates: tuple[int, int] = (3, 6)


class LightV3Plus(Decoder):
    """DeepLab-V3+ at a price a CPU can pay, with logits at stride 8.

    The last features are reduced; a 1x1 and two separable dilated 3x3 convolutions look at them and are concatenated
    with the features at stride 4, reduced and pooled to stride 8; a separable 3x3 convolution and the classifier
    follow.
    """

    name = "v3plus-light"
    summary = "a light DeepLab-V3+ with separable convolutions and logits at stride 8"
    Options = LightV3PlusOptions
    stride = 8

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: LightV3PlusOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        if FINEST not in strides or strides[-1] not in (8, 16, 32):
            raise UserError(
                f"the decoder {self.name!r} needs a map at stride {FINEST} and a last one at 8, 16 or 32, but the "
                f"backbone gives maps at strides {list(strides)}; choose another backbone or decoder"
            )
        width = options.channels
        self.detail_map = list(strides).index(FINEST)
        self.reduce = pointwise(channels[-1], width)
        self.context = nn.ModuleList(
            [pointwise(width, width), *(separable(width, width, dilation=rate) for rate in options.rates)]
        )
        self.detail = pointwise(channels[self.detail_map], options.detail_channels)
        self.fuse = separable(len(self.context) * width + options.detail_channels, width)
        self.classifier = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        detail = functional.avg_pool2d(self.detail(features[self.detail_map]), kernel_size=2)
        reduced = self.reduce(features[-1])
        context = torch.cat([branch(reduced) for branch in self.context], dim=1)
        size = (detail.shape[2], detail.shape[3])
        context = functional.interpolate(context, size=size, mode="bilinear", align_corners=False)
        logits: Tensor = self.classifier(self.fuse(torch.cat([context, detail], dim=1)))
        return logits


def usual_rates(stride: int) -> tuple[int, ...]:
    """The rates for features of any stride: those of the nearest stride that has some."""
    return RATES[min(RATES, key=lambda known: abs(known - stride))]
