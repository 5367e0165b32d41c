"""Any backbone under any decoder."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from acclimate.io.identity import file_named
from acclimate.models.backbones import build_backbone
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.config import NetworkOptions
from acclimate.models.decoders import Decoder, build_decoder, decoder_options
from acclimate.models.network import AUXILIARY, MAIN, Level, Output, ParameterGroup, SegmentationNetwork
from acclimate.models.padding import cut, padded
from acclimate.models.preprocessing import PreprocessingName


class EncoderDecoderOptions(NetworkOptions):
    """Settings of a backbone under a decoder.

    Attributes:
        backbone: ``torchvision/NAME`` or ``timm/NAME``: any model of timm that gives feature maps.
        decoder: a key of :data:`acclimate.models.decoders.DECODERS`.
        decoder_options: the decoder's own settings.
        weights: of the backbone: ``imagenet`` (the library's own, downloaded once), the path of a safetensors file, or
            None for random ones.
        output_stride: input pixels per position of the backbone's last features; None: its own.
        multi_level: add an auxiliary head on the features before the last ones.
        twin_heads: two main heads on the same features, whose logits are added (CLAN).
        batch_norm: what batch norm does, see :mod:`acclimate.models.batch_norm`.
        head_learning_rate_multiple: learning rate of the decoder relative to the backbone's.
        layer_decay: each block of the backbone, a stage where it has no blocks, learns at this times the rate of the
            one after it; the last one at the full rate.
        decay_norms: weight decay also for norms, biases, positions and tokens.
        freeze_backbone: the backbone keeps its weights and statistics.
        drop_path: rate of stochastic depth, of timm's models; None: timm's default.
        preprocessing: what is subtracted from the image; None: what the backbone's weights were trained with.
    """

    learning = NetworkOptions.learning | {"layer_decay", "decay_norms", "freeze_backbone", "drop_path"}

    backbone: str = "torchvision/resnet50"
    decoder: str = "daformer"
    decoder_options: dict[str, Any] = Field(default={})
    weights: str | None = file_named(None)
    output_stride: Literal[8, 16, 32] | None = None
    multi_level: bool = False
    twin_heads: bool = False
    batch_norm: BatchNormSetting = "trained"
    head_learning_rate_multiple: PositiveFloat = 10.0
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    decay_norms: bool = False
    freeze_backbone: bool = False
    drop_path: float | None = Field(default=None, ge=0, lt=1)
    preprocessing: PreprocessingName | None = None

    @model_validator(mode="after")
    def _the_decoder_has_these_options(self) -> Self:
        decoder_options(self.decoder, self.decoder_options)
        return self


class EncoderDecoder(SegmentationNetwork):
    """A backbone of torchvision or timm under a decoder.

    Images of any size are padded to the right and below until the backbone can take them, and the logits cut again. The
    features of the main level are the backbone's last, or the decoder's where it has an embedding; those of the
    auxiliary level are the ones before.
    """

    name = "encoder-decoder"
    summary = "any backbone of torchvision or timm under any decoder"
    Options = EncoderDecoderOptions

    def __init__(self, options: EncoderDecoderOptions, classes: int) -> None:
        backbone = build_backbone(
            options.backbone,
            output_stride=options.output_stride,
            weights=options.weights,
            drop_path=options.drop_path,
            widened=False,
        )
        decoder = build_decoder(
            options.decoder, backbone.channels, backbone.strides, classes, options=options.decoder_options
        )
        preprocessing = options.preprocessing or backbone.preprocessing
        super().__init__(
            options.model_copy(update={"preprocessing": preprocessing}),
            classes,
            stride=decoder.stride,
            preprocessing=preprocessing,
            batch_norm=options.batch_norm,
            head_learning_rate_multiple=options.head_learning_rate_multiple,
            multi_level=options.multi_level,
        )
        self.options = options
        self.multiple = max(backbone.strides) * decoder.multiple
        self.backbone = backbone
        self.decoder = decoder
        self.auxiliary_head = None
        if options.multi_level:
            self.auxiliary_head = build_decoder(
                "small-aspp", backbone.channels[:-1], backbone.strides[:-1], classes, options={}
            )
        self.finish()
        if options.freeze_backbone:
            backbone.requires_grad_(False)

    def features_of(self, images: Tensor) -> Tensor:
        if getattr(self.decoder, "embedding_channels", None) is not None:
            features: Tensor = self(images).features
            return features
        images = self.preprocessing(images)
        size = (images.shape[2], images.shape[3])
        images = padded(images, self.multiple)
        return cut(self.maps(images)[-1], size, stride=self.backbone.strides[-1])

    def maps(self, images: Tensor) -> list[Tensor]:
        """What the backbone says of preprocessed and padded images."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.options.freeze_backbone):
            maps: list[Tensor] = self.backbone(images)
        return maps

    def segment(self, images: Tensor) -> Output:
        size = (images.shape[2], images.shape[3])
        maps = self.maps(padded(images, self.multiple))
        strides = self.backbone.strides

        def level(decoder: Decoder, number: int) -> Level:
            read = maps[: len(maps) + number + 1]
            if getattr(decoder, "embedding_channels", None) is not None:
                embedding = decoder.embedded(read)
                logits = cut(decoder.classified(embedding), size, stride=decoder.stride)
                return Level(logits, cut(embedding, size, stride=decoder.stride))
            logits = decoder(read)
            return Level(cut(logits, size, stride=decoder.stride), cut(maps[number], size, stride=strides[number]))

        levels = {MAIN: level(self.decoder, -1)}
        if self.auxiliary_head is not None:
            levels[AUXILIARY] = level(self.auxiliary_head, -2)
        return Output(levels)

    def heads(self) -> list[nn.Module]:
        return [self.decoder] if self.auxiliary_head is None else [self.auxiliary_head, self.decoder]

    def feature_channels(self) -> dict[str, int]:
        channels = self.backbone.channels
        found = {level: channels[-1 - number] for number, level in enumerate(self.levels)}
        embedding = getattr(self.decoder, "embedding_channels", None)
        return found if embedding is None else found | {MAIN: embedding}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Body and heads, the body by depth where its learning rate decays, and what weight decay spares by itself."""
        depths = self.backbone.depths()
        deepest = max(depths.values())
        undecayed = self.backbone.undecayed()
        grouped: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            part, _, inner = name.partition(".")
            rate = self.head_learning_rate_multiple
            if part == "backbone":
                rate = self.options.layer_decay ** (deepest - depths[inner])
            spared = parameter.ndim <= 1 or (part == "backbone" and inner in undecayed)
            decay = 0.0 if spared and not self.options.decay_norms else 1.0
            grouped["body" if part == "backbone" else "heads", rate, decay].append(parameter)
        return [
            ParameterGroup(_called(role, rate, decay), params, learning_rate_multiple=rate, weight_decay_multiple=decay)
            for (role, rate, decay), params in grouped.items()
        ]

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.options.freeze_backbone:
            self.backbone.eval()
        return self


def _called(role: str, rate: float, decay: float) -> str:
    name = role if role == "heads" or rate == 1 else f"{role} x {rate:.4g}"
    return name if decay else f"{name}, not decayed"
