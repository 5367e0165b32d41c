"""Decoders of segmentation_models_pytorch over the maps of any backbone that has what they need.

That library counts maps from the image on: its lists begin with the image and a map at stride 2, which none of these
decoders reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.models.decoders.base import FINEST, Decoder, DecoderOptions

_UNREAD = [3, 0]
"""Channels of the image and of the map at stride 2."""


class WidthOptions(DecoderOptions):
    """Settings of a decoder of one width.

    Attributes:
        channels: of its layers.
    """

    channels: PositiveInt = 256


class _Generic(Decoder):
    """A decoder of the library and its 1x1 classifier."""

    decoder: nn.Module
    classifier: nn.Module

    def initialise(self, width: int, classes: int) -> None:
        """Adds the classifier and draws initial weights as the library does."""
        from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head

        self.classifier = nn.Conv2d(width, classes, kernel_size=1)
        initialize_decoder(self.decoder)
        initialize_head(self.classifier)


class V3PlusOptions(WidthOptions):
    """Settings of DeepLab-V3+.

    Attributes:
        rates: dilation rates of its context; None: (12, 24, 36) at stride 8, half of them at 16.
        dropout: within its context.
    """

    rates: tuple[int, int, int] | None = None
    dropout: float = Field(default=0.1, ge=0, lt=1)


class V3Plus(_Generic):
    """DeepLab-V3+ (Chen et al. 2018): context of separable dilated convolutions, refined by features at stride 4."""

    name = "deeplab-v3plus"
    summary = "DeepLab-V3+ with separable convolutions; needs features dilated to stride 8 or 16"
    Options = V3PlusOptions
    stride = FINEST

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: V3PlusOptions
    ) -> None:
        from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder

        super().__init__(channels, strides, classes, options=options)
        if FINEST not in strides or strides[-1] not in (8, 16):
            raise UserError(
                f"the decoder {self.name!r} needs a map at stride {FINEST} and a last one at 8 or 16, but the backbone "
                f"gives maps at strides {list(strides)}; set output_stride, or choose another backbone or decoder"
            )
        self.detail_map = list(strides).index(FINEST)
        self.decoder = DeepLabV3PlusDecoder(
            encoder_channels=[*_UNREAD, channels[self.detail_map], channels[-1]],
            encoder_depth=5,
            out_channels=options.channels,
            atrous_rates=options.rates or ((12, 24, 36) if strides[-1] == 8 else (6, 12, 18)),
            output_stride=16 if strides[-1] == 16 else 8,
            aspp_separable=True,
            aspp_dropout=options.dropout,
        )
        self.initialise(options.channels, classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        image = middle = features[self.detail_map]
        logits: Tensor = self.classifier(self.decoder([image, middle, features[self.detail_map], features[-1]]))
        return logits


class UPerNet(_Generic):
    """UPerNet (Xiao et al. 2018): pooled context at the coarsest level, levels merged from there on."""

    name = "upernet"
    summary = "UPerNet: pooled context and a feature pyramid"
    Options = WidthOptions

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: WidthOptions) -> None:
        from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder

        super().__init__(channels, strides, classes, options=options)
        self.maps = self.pyramid(strides)
        self.stride = strides[self.maps[0]]
        levels = [channels[number] for number in self.maps]
        self.decoder = UPerNetDecoder(
            encoder_channels=[*_UNREAD, *levels], encoder_depth=5, decoder_channels=options.channels
        )
        self.initialise(options.channels, classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        levels = [features[number] for number in self.maps]
        logits: Tensor = self.classifier(self.decoder([levels[0], levels[0], *levels]))
        return logits


class FPNOptions(DecoderOptions):
    """Settings of the feature pyramid.

    Attributes:
        channels: of the pyramid.
        segmentation_channels: of what is added up, a multiple of 32.
        dropout: before the classifier.
    """

    channels: PositiveInt = 256
    segmentation_channels: int = Field(default=128, ge=32, multiple_of=32)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class FPN(_Generic):
    """The semantic branch of Panoptic FPN (Kirillov et al. 2019): levels merged from the coarsest on, then added up."""

    name = "fpn"
    summary = "a feature pyramid; needs levels at strides 4, 8, 16 and 32"
    Options = FPNOptions

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: FPNOptions) -> None:
        from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder

        super().__init__(channels, strides, classes, options=options)
        self.maps = self.pyramid(strides)
        levels = [strides[number] for number in self.maps]
        if any(coarse != 2 * fine for fine, coarse in pairwise(levels)):
            raise UserError(
                f"the decoder {self.name!r} needs levels each half as fine as the one before, but the backbone gives "
                f"maps at strides {list(strides)}; leave output_stride out, or choose another backbone or decoder"
            )
        self.stride = levels[0]
        self.decoder = FPNDecoder(
            encoder_channels=[*_UNREAD, *(channels[number] for number in self.maps)],
            encoder_depth=5,
            pyramid_channels=options.channels,
            segmentation_channels=options.segmentation_channels,
            dropout=options.dropout,
        )
        self.initialise(options.segmentation_channels, classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.classifier(self.decoder([features[number] for number in self.maps]))
        return logits


class SegFormer(_Generic):
    """SegFormer's decoder (Xie et al. 2021): a linear layer per level, enlarged, concatenated and fused."""

    name = "segformer"
    summary = "SegFormer's decoder: a linear layer per level, fused"
    Options = WidthOptions

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: WidthOptions) -> None:
        from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder

        super().__init__(channels, strides, classes, options=options)
        self.maps = self.pyramid(strides)
        self.stride = strides[self.maps[0]]
        levels = [channels[number] for number in self.maps]
        self.decoder = SegformerDecoder(
            encoder_channels=[*_UNREAD, *levels], encoder_depth=5, segmentation_channels=options.channels
        )
        self.initialise(options.channels, classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        levels = [features[number] for number in self.maps]
        finest = levels[0]
        # the library takes the size of its output from that of the image, which it thinks four times as large
        image = finest.new_empty(1).expand(finest.shape[0], 1, 4 * finest.shape[2], 4 * finest.shape[3])
        unread = finest.new_empty(0).expand(finest.shape[0], 0)
        logits: Tensor = self.classifier(self.decoder([image, unread, *levels]))
        return logits


class DPTOptions(DecoderOptions):
    """Settings of DPT.

    Attributes:
        channels: of the merged levels.
        level_channels: of each of the four levels before they are merged.
    """

    channels: PositiveInt = 256
    level_channels: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (256, 512, 1024, 1024)


class DPT(_Generic):
    """DPT (Ranftl et al. 2021) for plain Vision Transformers: blocks' maps made a pyramid, merged from the top on.

    Class tokens are not read. Logits are at an eighth of the patches' stride.
    """

    name = "dpt"
    summary = "DPT: a pyramid made of a plain Vision Transformer's blocks"
    Options = DPTOptions
    multiple = 2

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: DPTOptions) -> None:
        from segmentation_models_pytorch.base.initialization import initialize_decoder
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead

        super().__init__(channels, strides, classes, options=options)
        if len(strides) != 4 or len(set(strides)) != 1:
            raise UserError(
                f"the decoder {self.name!r} is for plain Vision Transformers, but the backbone gives maps at strides "
                f"{list(strides)}; choose a backbone 'timm/vit_...' or another decoder"
            )
        self.stride = strides[0] / 8
        # whatever the patches: their maps enlarged 4 and 2 times, as they are, and halved
        self.decoder = DPTDecoder(
            encoder_out_channels=list(channels),
            encoder_output_strides=[16] * 4,
            encoder_has_prefix_tokens=False,
            readout="ignore",
            intermediate_channels=options.level_channels,
            fusion_channels=options.channels,
        )
        head: Any = DPTSegmentationHead(options.channels, classes)
        self.classifier = head.head
        initialize_decoder(self.decoder)

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.classifier(self.decoder(features, [None] * len(features)))
        return logits
