"""Backbones and decoders that go well together, under one name."""

from __future__ import annotations

from typing import Literal

from acclimate.models.encoder_decoder import EncoderDecoder, EncoderDecoderOptions


class MobileNetV3PlusOptions(EncoderDecoderOptions):
    """Those of ``encoder-decoder`` with this pair's defaults."""

    backbone: str = "torchvision/mobilenet_v2"
    decoder: str = "v3plus-light"
    output_stride: Literal[8, 16, 32] | None = 16


class MobileNetV3Plus(EncoderDecoder):
    """MobileNetV2 at stride 16 under a light DeepLab-V3+, for computers without a graphics card."""

    name = "mobilenet-v3plus"
    summary = "MobileNetV2 under a light DeepLab-V3+, for a CPU"
    Options = MobileNetV3PlusOptions


class DinoV2SOptions(EncoderDecoderOptions):
    """Those of ``encoder-decoder`` with this pair's defaults."""

    backbone: str = "timm/vit_small_patch14_dinov2"
    decoder: str = "vit-pyramid"


class DinoV2S(EncoderDecoder):
    """DINOv2's ViT-S/14 under VFM-UDA's light head."""

    name = "dinov2-s"
    summary = "DINOv2 ViT-S/14 under VFM-UDA's light head"
    Options = DinoV2SOptions


class DinoV2BOptions(DinoV2SOptions):
    """Those of ``encoder-decoder`` with this pair's defaults."""

    backbone: str = "timm/vit_base_patch14_dinov2"


class DinoV2B(EncoderDecoder):
    """DINOv2's ViT-B/14 under VFM-UDA's light head, as in VFM-UDA."""

    name = "dinov2-b"
    summary = "DINOv2 ViT-B/14 under VFM-UDA's light head (VFM-UDA)"
    Options = DinoV2BOptions


class DinoV2LOptions(DinoV2SOptions):
    """Those of ``encoder-decoder`` with this pair's defaults."""

    backbone: str = "timm/vit_large_patch14_dinov2"


class DinoV2L(EncoderDecoder):
    """DINOv2's ViT-L/14 under VFM-UDA's light head, as in VFM-UDA."""

    name = "dinov2-l"
    summary = "DINOv2 ViT-L/14 under VFM-UDA's light head (VFM-UDA)"
    Options = DinoV2LOptions


class PvtDAFormerOptions(EncoderDecoderOptions):
    """Those of ``encoder-decoder`` with this pair's defaults."""

    backbone: str = "timm/pvt_v2_b5"


class PvtDAFormer(EncoderDecoder):
    """PVTv2-B5 under DAFormer's decoder: levels as wide as those of DAFormer's own encoder, under a free licence."""

    name = "pvt-daformer"
    summary = "PVTv2-B5 under DAFormer's decoder"
    Options = PvtDAFormerOptions


class ConvNextUPerNetOptions(EncoderDecoderOptions):
    """Those of ``encoder-decoder`` with this pair's defaults."""

    backbone: str = "timm/convnext_tiny"
    decoder: str = "upernet"


class ConvNextUPerNet(EncoderDecoder):
    """ConvNeXt-T under UPerNet."""

    name = "convnext-upernet"
    summary = "ConvNeXt-T under UPerNet"
    Options = ConvNextUPerNetOptions


PAIRS: tuple[type[EncoderDecoder], ...] = (MobileNetV3Plus, DinoV2S, DinoV2B, DinoV2L, PvtDAFormer, ConvNextUPerNet)
