"""SSDLite with a feature pyramid: depthwise separable heads on any backbone that has maps at strides 8, 16 and 32.

The heads are those of MobileNetV2 (Sandler et al. 2018, section 6.2), the pyramid is that of Lin et al. (2017) with
depthwise separable convolutions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.ops import Conv2dNormActivation

from acclimate.errors import UserError
from acclimate.models.backbones import Backbone, build_backbone
from acclimate.models.network import evaluation_mode

STRIDES = [8, 16, 32, 64, 128]
SCALES = [0.06, 0.12, 0.25, 0.45, 0.7, 1.0]
"""Sizes of the square priors of each map, and one more for the last map's second square prior, relative to the root of
the picture's area: 19 to 320 pixels in 320x320, 14 to 226 in 320x160."""
RATIOS = [[2, 3]] * len(STRIDES)
OF_BACKBONE = 3
"""So many of the maps are the backbone's own; the others are halved from the last."""


class SquarePriors(DefaultBoxGenerator):  # type: ignore[misc] # torchvision has no types
    """SSD's priors whose sides are in proportion in pictures of any shape.

    Torchvision's are relative to width and height, so that a square prior of a picture twice as wide as high is twice
    as wide as high, too.
    """

    def _grid_default_boxes(
        self, grid_sizes: list[list[int]], image_size: list[int], dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Centres and sides (P, 4) as fractions of the picture's width and height, for a picture of (height, width)."""
        height, width = image_size
        boxes: Tensor = super()._grid_default_boxes(grid_sizes, image_size, dtype)
        side = math.sqrt(height * width)
        boxes[:, 2:] = boxes[:, 2:] * torch.tensor([side / width, side / height], dtype=dtype, device=boxes.device)
        return boxes


def ssdlite_priors() -> DefaultBoxGenerator:
    """Six priors at every position of every map."""
    return SquarePriors(RATIOS, scales=SCALES, steps=STRIDES, clip=False)


def _separable(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        Conv2dNormActivation(inputs, inputs, 3, stride=stride, groups=inputs, activation_layer=nn.ReLU6),
        Conv2dNormActivation(inputs, outputs, 1, activation_layer=nn.ReLU6),
    )


class SharedHead(nn.Module):
    """One head for all maps of a pyramid: two separable convolutions for the classes, two for the boxes.

    Group norm, because the maps that share the weights do not share their statistics.

    Args:
        channels: of every map.
        anchors: priors per position.
        classes: outputs per prior, the background included.
    """

    def __init__(self, channels: int, anchors: int, classes: int) -> None:
        super().__init__()

        def branch(outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for _ in range(2):
                layers += [
                    nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
                    nn.Conv2d(channels, channels, 1, bias=False),
                    nn.GroupNorm(8, channels),
                    nn.ReLU6(inplace=True),
                ]
            return nn.Sequential(*layers, nn.Conv2d(channels, anchors * outputs, 1))

        self.classification, self.regression = branch(classes), branch(4)
        self.sizes = {"cls_logits": classes, "bbox_regression": 4}

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """``cls_logits`` (B, P, classes) and ``bbox_regression`` (B, P, 4), in the order map, row, column, anchor."""
        found = {}
        for (name, size), layers in zip(self.sizes.items(), (self.classification, self.regression), strict=True):
            values = [layers(each) for each in maps]
            found[name] = torch.cat([each.permute(0, 2, 3, 1).reshape(len(each), -1, size) for each in values], dim=1)
        return found


class PyramidFeatures(nn.Module):
    """Maps of ``channels`` channels at strides 8 to 128: the backbone's, each with what coarser ones know added to it.

    Args:
        backbone: with maps at strides 8, 16 and 32; of several at one stride the last is taken.
        channels: of every map.

    Raises:
        UserError: the backbone lacks one of these strides.
    """

    def __init__(self, backbone: Backbone, *, channels: int, name: str) -> None:
        super().__init__()
        needed = STRIDES[:OF_BACKBONE]
        if missing := [stride for stride in needed if stride not in backbone.strides]:
            raise UserError(
                f"ssdlite needs maps at strides 8, 16 and 32; {name} has {', '.join(map(str, backbone.strides))}, so "
                f"{', '.join(map(str, missing))} is missing: choose a backbone such as torchvision/mobilenet_v2"
            )
        self.body = backbone
        last = {stride: place for place, stride in enumerate(backbone.strides)}
        self.taken = [last[stride] for stride in needed]
        self.lateral = nn.ModuleList(
            Conv2dNormActivation(backbone.channels[place], channels, 1, activation_layer=None) for place in self.taken
        )
        self.smooth = nn.ModuleList(_separable(channels, channels) for _ in self.taken)
        self.coarser = nn.ModuleList(_separable(channels, channels, stride=2) for _ in STRIDES[OF_BACKBONE:])
        self.channels = [channels] * len(STRIDES)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found: Sequence[Tensor] = self.body(images)
        maps = [layer(found[place]) for layer, place in zip(self.lateral, self.taken, strict=True)]
        for place in range(len(maps) - 1, 0, -1):
            finer = maps[place - 1]
            maps[place - 1] = finer + functional.interpolate(maps[place], size=finer.shape[-2:], mode="nearest")
        maps = [layer(values) for layer, values in zip(self.smooth, maps, strict=True)]
        for layer in self.coarser:
            maps.append(layer(maps[-1]))
        return OrderedDict((str(number), values) for number, values in enumerate(maps))


def build_ssdlite(backbone: str, classes: int, *, weights: str | None, channels: int, frozen_stride: int | None) -> SSD:
    """Torchvision's SSD around the pyramid.

    Args:
        backbone: ``torchvision/NAME`` or ``timm/NAME``.
        classes: outputs per prior, the background included.
        weights: of the backbone, see :func:`acclimate.models.backbones.build_backbone`.
        channels: of the pyramid's maps.
        frozen_stride: see :class:`acclimate.detection.config.DetectorConfig`.

    Raises:
        UserError: an unknown backbone, one without these maps, or weights that are not its own.
    """
    body = build_backbone(backbone, output_stride=None, weights=weights, widened=False)
    if frozen_stride is not None:
        freeze_up_to(body, frozen_stride)
    features = PyramidFeatures(body, channels=channels, name=backbone)
    priors = ssdlite_priors()
    head = SharedHead(channels, priors.num_anchors_per_location()[0], classes)
    return SSD(features, priors, (320, 320), classes, head=head)


def freeze_up_to(backbone: Backbone, stride: int) -> None:
    """Freezes the weights that the backbone's maps up to this stride are made with; batch norm's statistics still move.

    Raises:
        UserError: the backbone has no map at or below it.
    """
    weights = list(backbone.parameters())
    with evaluation_mode(backbone), torch.enable_grad():
        maps = backbone(torch.zeros(1, 3, 64, 64, device=weights[0].device))
        kept = [values.sum() for values, each in zip(maps, backbone.strides, strict=True) if each <= stride]
        if not kept:
            raise UserError(f"frozen_stride {stride}: the backbone's finest map is at stride {min(backbone.strides)}")
        gradients = torch.autograd.grad(torch.stack(kept).sum(), weights, allow_unused=True)
    for parameter, gradient in zip(weights, gradients, strict=True):
        parameter.requires_grad_(gradient is None)
