"""Torchvision's one-stage detectors over a backbone of a few channels, as a user's own package would build them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead

CHANNELS = 32
"""As many as torchvision's group norm in the heads of FCOS has groups."""


class Backbone(nn.Module):
    """Maps at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = CHANNELS
        self.first = nn.Sequential(nn.Conv2d(3, CHANNELS, 8, stride=8), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.third = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        first = self.first(images)
        second = self.second(first)
        return OrderedDict(a=first, b=second, c=self.third(second))


def spread(module: nn.Module) -> Any:
    """The module with heads that say something: scores on both sides of one half, boxes of different shapes."""
    head: Any = module.head
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d) and layer.out_channels != CHANNELS:
            nn.init.normal_(layer.weight, std=0.2)
            nn.init.constant_(layer.bias, -0.5)  # type: ignore[arg-type]
    return module


def ssd(classes: int, spare: int = 1, size: tuple[int, int] = (64, 64)) -> Any:
    """Of width and height ``size``, with ``spare`` labels beside the classes."""
    priors = DefaultBoxGenerator([[2], [2], [2]], scales=[0.15, 0.3, 0.6, 0.9])
    head = SSDHead([CHANNELS] * 3, priors.num_anchors_per_location(), classes + spare)
    return spread(SSD(Backbone(), priors, size, classes + spare, head=head))


def retinanet(classes: int, spare: int = 1, size: tuple[int, int] = (64, 64), **options: Any) -> Any:
    """See :func:`ssd`."""
    anchors = AnchorGenerator(((12, 16), (24, 32), (48, 64)), ((0.5, 1.0, 2.0),) * 3)
    sides = {"min_size": min(size), "max_size": max(size)}
    return spread(RetinaNet(Backbone(), classes + spare, anchor_generator=anchors, **sides, **options))


def fcos(classes: int, spare: int = 1, size: tuple[int, int] = (64, 64)) -> Any:
    """See :func:`ssd`."""
    points = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    sides = {"min_size": min(size), "max_size": max(size)}
    return spread(FCOS(Backbone(), classes + spare, anchor_generator=points, **sides))


def two_stages(classes: int) -> nn.Module:
    """A Faster R-CNN."""
    anchors = AnchorGenerator(((16,), (32,), (64,)), ((1.0,),) * 3)
    module: nn.Module = FasterRCNN(Backbone(), classes + 1, rpn_anchor_generator=anchors)
    return module


def wrapped(classes: int, kind: str = "retinanet", weights: str | None = None) -> Any:
    """As a package of a user's would hand it out."""
    import acclimate

    assert weights is None
    return acclimate.wrap(MODULES[kind](classes), classes=classes, heads=["head"], head_learning_rate_multiple=10)


def plain(classes: int) -> nn.Module:
    """No detector at all."""
    return nn.Conv2d(3, classes, 1)


MODULES: dict[str, Callable[..., Any]] = {"ssd": ssd, "retinanet": retinanet, "fcos": fcos}


def made(kind: str, classes: int = 3, **options: Any) -> Any:
    """One of :data:`MODULES`, the same every time."""
    torch.manual_seed(0)
    return MODULES[kind](classes, **options)
