"""Numbers of parameters, from published layer sizes rather than from the networks built here."""

from __future__ import annotations

from typing import Any

from acclimate.models.config import NetworkConfig

RESNET101 = 42_500_160
"""Convolutions and batch norm of ResNet-101 without its classifier."""

RESNET50 = 23_508_032
MOBILENET_V2 = 2_223_872
VGG16 = 14_714_688 + 14_157_824
"""conv1_1 to conv5_3, and the convolutions in the place of fc6 and fc7."""

WIDE_RESNET38 = 105_070_912
PVT_V2_B5 = 81_956_008 - 513_000
"""Published with its classifier of 1000 classes."""

DINOV2 = {"s": (22_056_576 - 384, 384), "b": (86_580_480 - 768, 768), "l": (304_368_640 - 1024, 1024)}
"""ViT-S, B and L/14 of DINOv2 without the token that stands for masked patches, and their width."""

SSD300_OF_8_CLASSES = 24_681_542


def aspp(inputs: int, classes: int) -> int:
    """Four parallel 3x3 convolutions with bias to the classes, summed."""
    return 4 * (9 * inputs + 1) * classes


def small_aspp(inputs: int, channels: int, classes: int) -> int:
    """A 1x1 convolution with bias to fewer channels, then four of the above."""
    return (inputs + 1) * channels + aspp(channels, classes)


LEVELS = (64, 128, 320, 512)
"""Channels of the four levels of PVTv2-B5, which are those of MiT-B5."""


def daformer_decoder(classes: int) -> int:
    """DAFormer's decoder, 3.7 million: 256 channels a level; 1x1 and three separable 3x3; 3x3; classifier."""
    embedding = sum(LEVELS) * 256 + 4 * 256
    pointwise, depthwise = 1024 * 256 + 512, 9 * 1024 + 2048
    return embedding + pointwise + 3 * (depthwise + pointwise) + 9 * 1024 * 256 + 512 + 257 * classes


def segformer_decoder(classes: int) -> int:
    """SegFormer's decoder of 256 channels, as HRDA's attention has it."""
    return sum(LEVELS) * 256 + 4 * 256 + 1024 * 256 + 512 + 257 * classes


def light_v3plus(classes: int) -> int:
    """From 320 and 24 channels: 1x1 to 96; 1x1 and two separable 3x3; 1x1 of the detail; separable 3x3; classifier."""
    context = 96 * 96 + 192 + 2 * (9 * 96 + 192 + 96 * 96 + 192)
    together = 3 * 96 + 24
    fused = 9 * together + 2 * together + together * 96 + 192
    return 320 * 96 + 192 + context + 24 * 24 + 48 + fused + 97 * classes


def ssdlite_heads(channels: int, classes: int) -> int:
    """Pyramid from 32, 96 and 320 channels to five maps, and one head of two branches for all of them.

    A separable convolution is 3x3 and 1x1, each with a norm; six priors have scores (and a background) and four sides.
    """
    separable = 9 * channels + 2 * channels + channels**2 + 2 * channels
    lateral = (32 + 96 + 320) * channels + 3 * 2 * channels
    branches = 4 * (separable - 2 * channels)
    return lateral + 5 * separable + branches + 6 * (classes + 1 + 4) * (channels + 1)


def vfm_uda_head(width: int, classes: int) -> int:
    """Transposed 2x2 from D to D/2 to D/4 with layer norms, 3x3, classifier without bias."""
    half, quarter = width // 2, width // 4
    enlarged = 4 * width * half + half + 2 * half + 4 * half * quarter + quarter + 2 * quarter
    return enlarged + 9 * quarter**2 + quarter + quarter * classes


def expected_parameters(config: Any, classes: int) -> int:
    """Parameters of the network that ``config`` describes.

    Raises:
        LookupError: no count is known; add it with where it comes from.
    """
    name = config.name
    if isinstance(config, NetworkConfig):
        config = config.options
    levels = aspp(2048, classes) * (2 if getattr(config, "twin_heads", False) else 1)
    levels += aspp(1024, classes) if getattr(config, "multi_level", False) else 0
    backbone = getattr(config, "backbone", None) or "torchvision/resnet50"
    if name == "deeplab-v2-resnet101":
        return RESNET101 + levels
    if name == "deeplab-v2-vgg16":
        return VGG16 + aspp(1024, classes)
    if name == "wide-resnet38":
        return WIDE_RESNET38 + (9 * 4096 + 1) * 512 + (9 * 512 + 1) * classes
    if name == "deeplab-v2" and backbone == "torchvision/resnet101" and config.head in (None, "aspp"):
        return RESNET101 + levels
    if name == "deeplab-v2" and backbone == "torchvision/resnet50" and config.head in (None, "aspp"):
        return RESNET50 + levels
    if name == "deeplab-v2" and backbone == "torchvision/mobilenet_v2" and config.head == "small-aspp":
        return MOBILENET_V2 + small_aspp(1280, 96, classes)
    if name == "encoder-decoder" and (backbone, config.decoder) == ("torchvision/resnet101", "psp"):
        pooled, fused = 4 * (2048 * 512 + 1024), 9 * 4096 * 512 + 1024
        return RESNET101 + pooled + fused + 513 * classes + small_aspp(1024, 96, classes)
    if name == "encoder-decoder" and (backbone, config.decoder) == ("torchvision/resnet101", "aspp-se"):
        branches = 2049 * 256 + 4 * (9 * 2048 + 1) * 256 + 5 * 512
        excitation, fused = 1281 * 80 + 81 * 1280, (9 * 1280 + 1) * 256 + 512
        return RESNET101 + branches + excitation + fused + 256 * classes
    if name == "mobilenet-v3plus":
        heads = 2 if config.twin_heads else 1
        return MOBILENET_V2 - (320 * 1280 + 2560) + heads * light_v3plus(classes)
    if name == "pvt-daformer":
        return PVT_V2_B5 + daformer_decoder(classes)
    if name == "hrda" and (backbone, config.decoder) == ("timm/pvt_v2_b5", "daformer"):
        return PVT_V2_B5 + daformer_decoder(classes) + segformer_decoder(classes)
    if name.startswith("dinov2-"):
        encoder, width = DINOV2[name[-1]]
        return encoder + vfm_uda_head(width, classes)
    if name == "ssdlite" and config.backbone is None:
        return MOBILENET_V2 - (320 * 1280 + 2560) + ssdlite_heads(config.channels or 96, classes)
    if name == "ssd300-vgg16" and classes == 8:
        return SSD300_OF_8_CLASSES
    if name in BUILT_IN:
        return BUILT_IN[name][classes]
    raise LookupError(f"no parameter count of {name} ({config}) for {classes} classes is known")


BUILT_IN: dict[str, dict[int, int]] = {
    "small": {14: 584_600},
    "light-ssd": {4: 944_214},
    "ssdlite": {4: 1_953_942},
}
"""Networks that no paper describes, as they are: classes -> parameters. A change here is a change of the network."""
