"""From the keys of each published layout to ours; the values are left alone.

A key that a layout does not know stays as it is, or gets :data:`STRANGE` in front where it might else be mistaken for
one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor

Tensors: TypeAlias = dict[str, Tensor]

STRANGE = "?"
"""Marks keys that a layout does not know; no key of ours begins with it."""

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
_CONVOLUTION = {"weight": "weight", "bias": "bias"}
_MXNET_KEY = re.compile(rf"(\w+)_({'|'.join([*_NORM, *_CONVOLUTION])})")
_MXNET_BLOCK = re.compile(r"(bn|res)(\da|\db\d)_(branch\w+)")


def kept(tensors: Mapping[str, Tensor]) -> Tensors:
    """The authors' keys are ours: AdaptSegNet, ADVENT, ESL, BDL."""
    return dict(tensors)


def advent_single_level(tensors: Mapping[str, Tensor]) -> Tensors:
    """ADVENT's single-level network, whose one head is called ``layer6``; a ``layer5`` beside it would be another's."""
    renamed = {}
    for key, value in tensors.items():
        strange = STRANGE if key.startswith("layer5.") else ""
        renamed[strange + key.replace("layer6.", "layer5.", 1) if key.startswith("layer6.") else strange + key] = value
    return renamed


def fada_resnet(tensors: Mapping[str, Tensor]) -> Tensors:
    """FADA's two networks on ResNet-101."""
    return _with_prefixes(tensors, {"feature_extractor.backbone.": "backbone.", "classifier.": "head."})


def fada_vgg(tensors: Mapping[str, Tensor]) -> Tensors:
    """FADA's two networks on VGG-16."""
    return _with_prefixes(tensors, {"feature_extractor.backbone.": "features.", "classifier.": "classifier."})


def resnet_body(tensors: Mapping[str, Tensor]) -> Tensors:
    """Takes off ImageNet's or COCO's classifier, and the prefix ``Scale.`` of the file that has the latter.

    Heads without the prefix are a segmentation network's, which is not taken for initial weights, however odd they are.
    """
    body = {key: value for key, value in tensors.items() if not key.startswith(("Scale.layer5.", "fc."))}
    return {key.removeprefix("Scale."): value for key, value in body.items()}


def vgg_body(tensors: Mapping[str, Tensor]) -> Tensors:
    """Takes off ImageNet's classifier."""
    heads = ("classifier.0.", "classifier.3.", "classifier.6.")
    return {key: value for key, value in tensors.items() if not key.startswith(heads)}


def wide_resnet38(tensors: Mapping[str, Tensor]) -> Tensors:
    """Names that ademxapp gave to Wide ResNet-38 in MXNet, such as ``bn2a_branch2b1_gamma`` and ``linear19_bias``."""
    renamed: Tensors = {}
    for key, value in tensors.items():
        ours = _of_wide_resnet38(key)
        # two heads of different numbers of classes would both become ``linear``
        renamed[STRANGE + key if ours is None or ours in renamed else ours] = value
    return renamed


def wide_resnet38_body(tensors: Mapping[str, Tensor]) -> Tensors:
    """The same without ImageNet's classifier; other heads are a segmentation network's."""
    return wide_resnet38({key: value for key, value in tensors.items() if not key.startswith("linear1000_")})


def _of_wide_resnet38(key: str) -> str | None:
    match = _MXNET_KEY.fullmatch(key)
    if match is None:
        return None
    layer, value = match.groups()
    kind = (_NORM if layer.startswith("bn") else _CONVOLUTION).get(value)
    if kind is None:
        return None
    if block := _MXNET_BLOCK.fullmatch(layer):
        operation, number, branch = block.groups()
        return f"blocks.{number}.{operation}.{branch}.{kind}"
    if layer in ("conv1a", "bn7", "conv6a"):
        return f"{layer}.{kind}"
    return f"linear.{kind}" if re.fullmatch(r"linear\d+", layer) else None


def _with_prefixes(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> Tensors:
    renamed = {}
    for key, value in tensors.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), "")
        renamed[prefixes.get(prefix, STRANGE) + key.removeprefix(prefix)] = value
    return renamed
