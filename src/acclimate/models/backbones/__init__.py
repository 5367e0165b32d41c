"""Backbones: networks that turn images into lists of feature maps, of torchvision and timm."""

from __future__ import annotations

from pathlib import Path

from acclimate.errors import UserError, unknown
from acclimate.models.backbones.base import Backbone
from acclimate.models.backbones.timm import load_timm, timm_backbone
from acclimate.models.backbones.torchvision import (
    FEATURE_LISTS,
    TORCHVISION_NAMES,
    TorchvisionFeatures,
    TorchvisionResNet,
)
from acclimate.models.weights import IMAGENET, IMAGENET_V1, load_weights, read_tensors

__all__ = ["TORCHVISION_NAMES", "Backbone", "build_backbone"]


def build_backbone(
    name: str,
    *,
    output_stride: int | None,
    weights: str | None,
    drop_path: float | None = None,
    widened: bool = True,
) -> Backbone:
    """The backbone ``torchvision/NAME`` or ``timm/NAME`` with its weights.

    Args:
        name: library and model.
        output_stride: input pixels per position of the last map, 8, 16 or 32, which dilates what comes after; None: the
            model's own.
        weights: ``imagenet``, the path of a safetensors file with the library's own keys, or None for random.
        drop_path: rate of stochastic depth, of timm's models; None: timm's default.
        widened: keep the convolution that widens a MobileNet's or EfficientNet's features for its classifier.

    Raises:
        UserError: an unknown name, a model that cannot be dilated, or weights that are absent or of another backbone.
    """
    library, _, model = name.partition("/")
    if library == "timm" and model:
        if weights == IMAGENET_V1:
            raise UserError(f"weights {IMAGENET_V1!r} are torchvision's; {name} has {IMAGENET!r}, or give a file")
        pretrained = weights == IMAGENET
        backbone = timm_backbone(model, output_stride=output_stride, pretrained=pretrained, drop_path=drop_path)
        if weights is not None and not pretrained:
            load_timm(backbone, model, read_tensors(Path(weights)), where=weights)
        return backbone
    if library != "torchvision":
        raise UserError(
            f"backbone {name!r} is neither 'torchvision/NAME' nor 'timm/NAME'; "
            "for instance 'torchvision/mobilenet_v2' or 'timm/resnet18'"
        )
    if model not in TORCHVISION_NAMES:
        raise unknown("backbone", name, [f"torchvision/{known}" for known in TORCHVISION_NAMES])
    if drop_path is not None:
        raise UserError(f"drop_path is for models of timm; leave it out for {name}, or choose a backbone 'timm/NAME'")
    stride = output_stride or 32
    if model not in FEATURE_LISTS:
        resnet = TorchvisionResNet(model, output_stride=stride)
        load_weights(resnet, weights, torchvision_name=model)
        return resnet
    blocks = TorchvisionFeatures(model, output_stride=stride, widened=widened)
    unused = () if widened else (f"features.{len(blocks.features)}.",)
    load_weights(blocks, weights, torchvision_name=model, unused=unused)
    return blocks
