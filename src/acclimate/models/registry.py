"""All networks by name, with the options each one has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.errors import UserError, nearest, unknown
from acclimate.models.config import NetworkConfig
from acclimate.models.deeplab import DeepLabV2, DeepLabV2ResNet101
from acclimate.models.network import SegmentationNetwork
from acclimate.models.small import RATES as SMALL_RATES
from acclimate.models.small import SmallNetwork
from acclimate.models.vgg import DeepLabV2VGG16
from acclimate.models.wide_resnet38 import WideResNet38


@dataclass(frozen=True)
class NetworkEntry:
    """A network that can be asked for by name.

    Attributes:
        build: makes it from a config, whose options are settled, and the number of classes.
        description: one line for a person choosing.
        options: the options it has and their defaults; a default of None is settled by the network itself, as its
            docstring says.
    """

    build: Callable[[NetworkConfig, int], SegmentationNetwork]
    description: str
    options: Mapping[str, Any]


NETWORKS: dict[str, NetworkEntry] = {
    "deeplab-v2-resnet101": NetworkEntry(
        DeepLabV2ResNet101,
        "DeepLab-V2 on ResNet-101 as published (AdaptSegNet, ADVENT, ESL, BDL)",
        {
            "multi_level": False,
            "batch_norm": "published",
            "weights": None,
            "branches": 4,
            "head_learning_rate_multiple": 10.0,
            "preprocessing": None,
        },
    ),
    "deeplab-v2-vgg16": NetworkEntry(
        DeepLabV2VGG16,
        "DeepLab-V2 on VGG-16 (AdaptSegNet, FADA)",
        {"weights": None, "branches": 4, "head_learning_rate_multiple": 1.0, "preprocessing": None},
    ),
    "deeplab-v2": NetworkEntry(
        DeepLabV2,
        "DeepLab-V2's heads on a dilated torchvision or timm backbone",
        {
            "backbone": "torchvision/resnet50",
            "multi_level": False,
            "batch_norm": "published",
            "batch_norm_epsilon": None,
            "weights": None,
            "output_stride": 8,
            "head": "aspp",
            "head_channels": 96,
            "rates": None,
            "head_learning_rate_multiple": 10.0,
            "preprocessing": None,
        },
    ),
    "wide-resnet38": NetworkEntry(
        WideResNet38,
        "Wide ResNet-38, model A1, with a two-layer head (CBST, MLSL)",
        {"batch_norm": "global", "weights": None, "preprocessing": "imagenet"},
    ),
    "small": NetworkEntry(
        SmallNetwork,
        "a compact residual network for the built-in scenes, trained from scratch",
        {
            "multi_level": False,
            "batch_norm": "trained",
            "width": 32,
            "rates": SMALL_RATES,
            "head_learning_rate_multiple": 0.2,
            "preprocessing": "imagenet",
        },
    ),
}
"""The networks a recipe can name."""


def settled(config: NetworkConfig) -> NetworkConfig:
    """The config with every option of its network at its value.

    Raises:
        UserError: an unknown network, or an option that the network does not have.
    """
    if config.name not in NETWORKS:
        raise unknown("network", config.name, NETWORKS)
    options = NETWORKS[config.name].options
    given = config.set_options()
    for key in given:
        if key not in options:
            raise UserError(
                f"network {config.name!r} has no option {key!r}{nearest(key, options)} (its options: "
                f"{', '.join(sorted(options))}); remove it or choose another network"
            )
    return config.model_copy(update={key: given.get(key, default) for key, default in options.items()})


def build_network(config: NetworkConfig, classes: int) -> SegmentationNetwork:
    """The network that ``config`` describes, on the CPU, in training mode.

    Its ``config`` attribute has every option settled, so that a checkpoint does not depend on later defaults.

    Args:
        config: name and options; options left at None take the network's default.
        classes: number of classes C, at least 2.

    Raises:
        UserError: an unknown network, an option that the network does not have, or weights that cannot be had.
    """
    if classes < 2:
        raise ValueError(f"a segmentation network needs at least two classes, not {classes}")
    config = settled(config)
    return NETWORKS[config.name].build(config, classes)
