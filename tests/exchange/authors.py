"""Networks in the authors' layouts, from the published key and shape facts alone, as plain functions of a state.

Values are drawn so that activations stay of the order of one; the heads' live branches deviate by 0.02 ("trained"), the
others by the initial 0.01.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BLOCKS = (3, 4, 23, 3)
RATES = (6, 12, 18, 24)
VGG_CONV = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG_INDEX = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 23, 25, 27)
VGG_POOL_AFTER = (2, 7, 14)

State = dict[str, Tensor]


def _conv(state: State, name: str, out: int, inside: int, size: int, *, gain: float = 1.0) -> None:
    state[f"{name}.weight"] = torch.randn(out, inside, size, size) * gain * (2 / (inside * size * size)) ** 0.5


def _norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"] = torch.rand(channels) * 0.2 + 0.9
    state[f"{name}.bias"] = torch.randn(channels) * 0.05
    state[f"{name}.running_mean"] = torch.randn(channels) * 0.05
    state[f"{name}.running_var"] = torch.rand(channels) * 0.5 + 0.75


def resnet_state() -> State:
    """The body of ResNet-101: Caffe's and torchvision's have the same keys and shapes."""
    state: State = {}
    _conv(state, "conv1", 64, 3, 7)
    _norm(state, "bn1", 64)
    inside = 64
    for layer, (blocks, planes) in enumerate(zip(BLOCKS, (64, 128, 256, 512), strict=True), start=1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            shapes = ((1, planes, inside, 1), (2, planes, planes, 3), (3, 4 * planes, planes, 1))
            for number, out, into, size in shapes:
                # the last convolution of a block adds little, or 33 blocks would explode
                _conv(state, f"{name}.conv{number}", out, into, size, gain=0.3 if number == 3 else 1.0)
                _norm(state, f"{name}.bn{number}", out)
            if block == 0:
                _conv(state, f"{name}.downsample.0", 4 * planes, inside, 1, gain=0.7)
                _norm(state, f"{name}.downsample.1", 4 * planes)
            inside = 4 * planes
    return state


def head_state(name: str, channels: int, classes: int, *, live: int) -> State:
    state: State = {}
    for branch in range(4):
        deviation = 0.02 if branch < live else 0.01
        state[f"{name}conv2d_list.{branch}.weight"] = torch.randn(classes, channels, 3, 3) * deviation
        bound = (9 * channels) ** -0.5
        state[f"{name}conv2d_list.{branch}.bias"] = (torch.rand(classes) * 2 - 1) * bound
    return state


def vgg_state(prefix: str) -> State:
    """conv1_1 to fc7, numbered without the two last poolings."""
    state: State = {}
    inside = 3
    shapes = [*zip(VGG_INDEX, VGG_CONV, strict=True), (29, 1024), (31, 1024)]
    for index, out in shapes:
        _conv(state, f"{prefix}{index}", out, inside, 3)
        state[f"{prefix}{index}.bias"] = torch.randn(out) * 0.05
        inside = out
    return state


def head(state: State, name: str, features: Tensor, *, live: int) -> Tensor:
    """The sum of the first ``live`` dilated convolutions."""
    logits = torch.zeros(())
    for branch, rate in enumerate(RATES[:live]):
        key = f"{name}conv2d_list.{branch}"
        logits = logits + functional.conv2d(
            features, state[f"{key}.weight"], state[f"{key}.bias"], padding=rate, dilation=rate
        )
    return logits


def norm(state: State, name: str, features: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, with the running statistics."""
    scale, shift, mean, variance = (
        state[f"{name}.{kind}"].view(1, -1, 1, 1) for kind in ("weight", "bias", "running_mean", "running_var")
    )
    return (features - mean) / torch.sqrt(variance + epsilon) * scale + shift


def _stem(state: State, pixels: Tensor, *, ceil: bool, epsilon: float) -> Tensor:
    features = functional.conv2d(pixels, state["conv1.weight"], stride=2, padding=3)
    features = norm(state, "bn1", features, epsilon).relu()
    return functional.max_pool2d(features, 3, stride=2, padding=1, ceil_mode=ceil)


def _block(
    state: State, name: str, features: Tensor, *, strides: tuple[int, int], dilation: int, epsilon: float
) -> Tensor:
    """A bottleneck with the given strides of its 1x1 and its 3x3 convolution."""
    first, second = strides
    inner = functional.conv2d(features, state[f"{name}.conv1.weight"], stride=first)
    inner = norm(state, f"{name}.bn1", inner, epsilon).relu()
    inner = functional.conv2d(inner, state[f"{name}.conv2.weight"], stride=second, padding=dilation, dilation=dilation)
    inner = norm(state, f"{name}.bn2", inner, epsilon).relu()
    inner = norm(state, f"{name}.bn3", functional.conv2d(inner, state[f"{name}.conv3.weight"]), epsilon)
    if f"{name}.downsample.0.weight" in state:
        features = functional.conv2d(features, state[f"{name}.downsample.0.weight"], stride=first * second)
        features = norm(state, f"{name}.downsample.1", features, epsilon)
    return (inner + features).relu()


def caffe_features(state: State, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs of layer3 and layer4 of the body of AdaptSegNet, ADVENT, ESL, BDL."""
    features = _stem(state, pixels, ceil=True, epsilon=1e-5)
    outputs = []
    for layer, (blocks, stride, dilation) in enumerate(zip(BLOCKS, (1, 2, 1, 1), (1, 1, 2, 4), strict=True), start=1):
        for block in range(blocks):
            strides = (stride if block == 0 else 1, 1)
            name = f"layer{layer}.{block}"
            features = _block(state, name, features, strides=strides, dilation=dilation, epsilon=1e-5)
        outputs.append(features)
    return outputs[2], outputs[3]


def fada_features(state: State, pixels: Tensor, *, epsilon: float) -> Tensor:
    """The output of layer4 of FADA's body: strides on 3x3, first blocks of layer3 and layer4 dilated less."""
    features = _stem(state, pixels, ceil=False, epsilon=epsilon)
    for layer, (blocks, stride, first, others) in enumerate(
        zip(BLOCKS, (1, 2, 1, 1), (1, 1, 1, 2), (1, 1, 2, 4), strict=True), start=1
    ):
        for block in range(blocks):
            strides, dilation = ((1, stride), first) if block == 0 else ((1, 1), others)
            name = f"layer{layer}.{block}"
            features = _block(state, name, features, strides=strides, dilation=dilation, epsilon=epsilon)
    return features


def vgg_features(state: State, prefix: str, pixels: Tensor) -> Tensor:
    features = pixels
    for index in (*VGG_INDEX, 29, 31):
        dilation = 4 if index >= 29 else 2 if index >= 23 else 1
        key = f"{prefix}{index}"
        features = functional.conv2d(
            features, state[f"{key}.weight"], state[f"{key}.bias"], padding=dilation, dilation=dilation
        ).relu()
        if index in VGG_POOL_AFTER:
            features = functional.max_pool2d(features, 2, stride=2)
    return features


def caffe_pixels(
    images: Tensor, mean: tuple[float, float, float] = (104.00698793, 116.66876762, 122.67891434)
) -> Tensor:
    """BGR, 0 to 255, minus the mean."""
    red, green, blue = images.mul(255).unbind(1)
    return torch.stack([blue - mean[0], green - mean[1], red - mean[2]], dim=1)


def imagenet_pixels(images: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    return (images - mean) / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
