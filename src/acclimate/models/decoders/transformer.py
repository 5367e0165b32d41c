"""Decoders that came with Transformers in domain adaptation: DAFormer's, VFM-UDA's, and a single linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from acclimate.models.decoders.base import Decoder, DecoderOptions, LayerNorm2d, normed, pointwise, separable


class Linear(Decoder):
    """A 1x1 convolution on the last features."""

    name = "linear"
    summary = "one linear layer on the last features"

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: DecoderOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.stride = strides[-1]
        self.classifier = nn.Conv2d(channels[-1], classes, kernel_size=1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.classifier(features[-1])
        return logits


class VitPyramid(Decoder):
    """VFM-UDA's light head for plain Vision Transformers: positions divided by four, then classified.

    Two transposed 2x2 convolutions, D to D/2 to D/4 channels, each with layer norm and GELU; a 3x3 convolution; a 1x1
    classifier without bias that starts at N(0, 0.1). Logits are at a quarter of the patches' stride.
    """

    name = "vit-pyramid"
    summary = "VFM-UDA's light head: two transposed convolutions, a 3x3 and a 1x1"

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: DecoderOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.stride = strides[-1] / 4
        width = channels[-1]
        self.enlarge = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, kernel_size=2, stride=2),
            LayerNorm2d(width // 2),
            nn.GELU(),
            nn.ConvTranspose2d(width // 2, width // 4, kernel_size=2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 4, kernel_size=3, padding=1),
        )
        self.classifier = nn.Conv2d(width // 4, classes, kernel_size=1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.1)

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.classifier(self.enlarge(features[-1]))
        return logits


class DAFormerOptions(DecoderOptions):
    """Settings of DAFormer's decoder.

    Attributes:
        channels: of every layer.
        rates: dilation rates; 1 is a 1x1 convolution.
        dropout: before the classifier.
    """

    channels: PositiveInt = 256
    rates: tuple[int, ...] = Field(default=(1, 6, 12, 18), min_length=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class DAFormerDecoder(Decoder):
    """DAFormer's decoder: levels fused at the finest one's stride, with context of separable dilated convolutions.

    Each level is embedded linearly and enlarged to the finest one's size; over their concatenation go a 1x1 and
    separable dilated 3x3 convolutions without image pooling, a 3x3 bottleneck, dropout and the classifier (Hoyer et
    al., DAFormer, section 3.2). Corners are not aligned.
    """

    name = "daformer"
    summary = "DAFormer's decoder: four levels fused at stride 4, with separable dilated context"
    Options = DAFormerOptions

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: DAFormerOptions
    ) -> None:
        super().__init__(channels, strides, classes, options=options)
        self.maps = self.pyramid(strides)
        self.stride = strides[self.maps[0]]
        width = options.channels
        self.embeddings = nn.ModuleList(nn.Conv2d(channels[number], width, kernel_size=1) for number in self.maps)
        fused = width * len(self.maps)
        self.context = nn.ModuleList(
            pointwise(fused, width) if rate == 1 else separable(fused, width, dilation=rate) for rate in options.rates
        )
        self.bottleneck = normed(
            nn.Conv2d(width * len(options.rates), width, kernel_size=3, padding=1, bias=False), width
        )
        self.dropout = nn.Dropout2d(options.dropout)
        self.classifier = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        first = features[self.maps[0]]
        size = (first.shape[2], first.shape[3])
        levels = [
            functional.interpolate(embed(features[number]), size=size, mode="bilinear", align_corners=False)
            for number, embed in zip(self.maps, self.embeddings, strict=True)
        ]
        fused = torch.cat(levels, dim=1)
        context = torch.cat([branch(fused) for branch in self.context], dim=1)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(context)))
        return logits
