"""Numbers of parameters, from published layer sizes rather than from the networks built here."""

from __future__ import annotations

from typing import Any

RESNET101 = 42_500_160
"""Convolutions and batch norm of ResNet-101 without its classifier."""

RESNET50 = 23_508_032
MOBILENET_V2 = 2_223_872
VGG16 = 14_714_688 + 14_157_824
"""conv1_1 to conv5_3, and the convolutions in the place of fc6 and fc7."""

WIDE_RESNET38 = 105_070_912
SSD300_OF_8_CLASSES = 24_681_542


def aspp(inputs: int, classes: int) -> int:
    """Four parallel 3x3 convolutions with bias to the classes, summed."""
    return 4 * (9 * inputs + 1) * classes


def small_aspp(inputs: int, channels: int, classes: int) -> int:
    """A 1x1 convolution with bias to fewer channels, then four of the above."""
    return (inputs + 1) * channels + aspp(channels, classes)


def expected_parameters(config: Any, classes: int) -> int:
    """Parameters of the network that ``config`` describes.

    Raises:
        LookupError: no count is known; add it with where it comes from.
    """
    name, config = config.name, getattr(config, "options", config)
    levels = aspp(2048, classes) + (aspp(1024, classes) if getattr(config, "multi_level", False) else 0)
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
    if name == "ssd300-vgg16" and classes == 8:
        return SSD300_OF_8_CLASSES
    if name in BUILT_IN:
        return BUILT_IN[name][classes]
    raise LookupError(f"no parameter count of {name} ({config}) for {classes} classes is known")


BUILT_IN: dict[str, dict[int, int]] = {
    "mobilenet-v3plus": {7: 1_907_839, 10: 1_908_130},
    "small": {14: 584_600},
    "light-ssd": {4: 944_214},
}
"""Networks that no paper describes, as they are: classes -> parameters. A change here is a change of the network."""
