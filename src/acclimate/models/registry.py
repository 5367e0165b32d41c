"""All networks by name: those that ship, those of installed packages and those of the user's own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acclimate.io.plugins import named
from acclimate.models.config import CODE, CodeOptions, NetworkConfig, NetworkOptions
from acclimate.models.deeplab import DeepLabV2, DeepLabV2ResNet101
from acclimate.models.encoder_decoder import EncoderDecoder
from acclimate.models.hrda import HRDA
from acclimate.models.network import SegmentationNetwork
from acclimate.models.pairs import PAIRS
from acclimate.models.small import SmallNetwork
from acclimate.models.twin_heads import with_twin_head
from acclimate.models.vgg import DeepLabV2VGG16
from acclimate.models.wide_resnet38 import WideResNet38
from acclimate.models.wrapped import from_code

_SHIPPED: tuple[type[SegmentationNetwork], ...] = (
    DeepLabV2ResNet101,
    DeepLabV2VGG16,
    DeepLabV2,
    WideResNet38,
    SmallNetwork,
    EncoderDecoder,
    *PAIRS,
    HRDA,
)

NETWORKS: dict[str, type[SegmentationNetwork]] = {network.name: network for network in _SHIPPED}
"""The networks that ship, by the name a recipe gives."""


def network_named(name: str) -> type[SegmentationNetwork]:
    """The network of that name, of the package's own or of an installed one's.

    Raises:
        UserError: there is none.
    """
    network = named("network", name, NETWORKS, "acclimate.networks", SegmentationNetwork)  # type: ignore[type-abstract]
    network.name = name
    return network


def options_of(name: str) -> type[NetworkOptions]:
    """The options of the network of that name; for ``python:`` code, anything. Imports no code that ``name`` names.

    Raises:
        UserError: there is no such network.
    """
    return CodeOptions if name.startswith(CODE) else network_named(name).Options


def build_network(config: NetworkConfig, classes: int) -> SegmentationNetwork:
    """The network that ``config`` describes, on the CPU, in training mode.

    Its ``config`` attribute has every option settled, so that a checkpoint does not depend on later defaults.

    Args:
        config: name and options. Code that a name ``python:...`` names is imported and run.
        classes: number of classes C, at least 2.

    Raises:
        UserError: weights or code that cannot be had, or options that contradict each other.
    """
    if classes < 2:
        raise ValueError(f"a segmentation network needs at least two classes, not {classes}")
    if config.name.startswith(CODE):
        return from_code(config, classes)
    build: Callable[[Any, int], SegmentationNetwork] = network_named(config.name)
    network = build(config.options, classes)
    return with_twin_head(network) if getattr(config.options, "twin_heads", False) else network
