"""Wide ResNet-38, model A1, under the names of its MXNet release: shapes, values and the network as functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import authors
import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1.001e-5


class Convolution(NamedTuple):
    out: int
    size: int
    stride: int = 1
    dilation: int = 1


class Block(NamedTuple):
    name: str
    inside: int
    convolutions: list[Convolution]
    projected: bool


def blocks() -> Iterator[Block]:
    """The 17 blocks; the first one of each level projects its shortcut."""
    inside = 64
    for level, names, out in ((2, "a b1 b2", 128), (3, "a b1 b2", 256), (4, "a b1 b2 b3 b4 b5", 512)):
        for name in names.split():
            convolutions = [Convolution(out, 3, stride=2 if name == "a" else 1), Convolution(out, 3)]
            yield Block(f"{level}{name}", inside, convolutions, name == "a")
            inside = out
    for name in ("5a", "5b1", "5b2"):
        convolutions = [Convolution(512, 3, dilation=1 if name == "5a" else 2), Convolution(1024, 3, dilation=2)]
        yield Block(name, inside, convolutions, name == "5a")
        inside = 1024
    for name, out in (("6a", 512), ("7a", 1024)):
        convolutions = [Convolution(out, 1), Convolution(2 * out, 3, dilation=4), Convolution(4 * out, 1)]
        yield Block(name, inside, convolutions, True)
        inside = 4 * out


def branches(block: Block) -> Iterator[tuple[str, int, Convolution]]:
    """The name of each convolution of a block, ``2a``, ``2b1``, …, its input channels and itself."""
    inside = block.inside
    for number, convolution in enumerate(block.convolutions):
        yield ("branch2a" if number == 0 else f"branch2b{number}"), inside, convolution
        inside = convolution.out


def trunk_shapes() -> dict[str, tuple[int, ...]]:
    """Every parameter before the head: name and shape."""
    shapes: dict[str, tuple[int, ...]] = {"arg:conv1a_weight": (64, 3, 3, 3)}

    def norm(name: str, channels: int) -> None:
        for kind in ("arg:{}_gamma", "arg:{}_beta", "aux:{}_moving_mean", "aux:{}_moving_var"):
            shapes[kind.format(name)] = (channels,)

    for block in blocks():
        for branch, inside, convolution in branches(block):
            norm(f"bn{block.name}_{branch}", inside)
            shapes[f"arg:res{block.name}_{branch}_weight"] = (convolution.out, inside, *2 * (convolution.size,))
        if block.projected:
            shapes[f"arg:res{block.name}_branch1_weight"] = (block.convolutions[-1].out, block.inside, 1, 1)
    norm("bn7", 4096)
    return shapes


def head_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """The two layers that segment."""
    return {
        "arg:conv6a_weight": (512, 4096, 3, 3),
        "arg:conv6a_bias": (512,),
        f"arg:linear{classes}_weight": (classes, 512, 3, 3),
        f"arg:linear{classes}_bias": (classes,),
    }


def drawn(shapes: dict[str, tuple[int, ...]]) -> authors.State:
    """Values for parameters, in float16, under which activations stay of the order of one."""
    return {name: _drawn(name, shape).half() for name, shape in shapes.items()}


def _drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    if name.endswith("_weight"):
        # what a block adds is small beside its shortcut, or 17 blocks would explode; of the head's dilated convolutions
        # most weights see the padding of small maps
        gain = 0.5 if "branch" in name else 1.0 if "conv1a" in name else 2.0
        return torch.randn(shape) * gain * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
    if name.endswith(("_gamma", "_moving_var")):
        return torch.rand(shape) * 0.4 + 0.8
    return torch.randn(shape) * 0.1


def logits(state: authors.State, pixels: Tensor, *, classes: int) -> Tensor:
    """The scores at stride 8 of normalised pixels (B, 3, H, W), under the published names of all parameters."""

    def weight(name: str) -> Tensor:
        return state[f"arg:{name}"].float()

    def activated(name: str, features: Tensor) -> Tensor:
        kinds = (f"arg:{name}_gamma", f"arg:{name}_beta", f"aux:{name}_moving_mean", f"aux:{name}_moving_var")
        gamma, beta, mean, variance = (state[kind].float().view(1, -1, 1, 1) for kind in kinds)
        return ((features - mean) / torch.sqrt(variance + EPSILON) * gamma + beta).relu()

    features = functional.conv2d(pixels, weight("conv1a_weight"), padding=1)
    for block in blocks():
        shortcut = features
        for branch, _, convolution in branches(block):
            features = activated(f"bn{block.name}_{branch}", features)
            if branch == "branch2a" and block.projected:
                projection = weight(f"res{block.name}_branch1_weight")
                shortcut = functional.conv2d(features, projection, stride=block.convolutions[0].stride)
            features = functional.conv2d(
                features,
                weight(f"res{block.name}_{branch}_weight"),
                stride=convolution.stride,
                padding=convolution.dilation * (convolution.size // 2),
                dilation=convolution.dilation,
            )
        features = features + shortcut
    features = activated("bn7", features)
    wide = {"padding": 12, "dilation": 12}
    features = functional.conv2d(features, weight("conv6a_weight"), weight("conv6a_bias"), **wide).relu()
    return functional.conv2d(features, weight(f"linear{classes}_weight"), weight(f"linear{classes}_bias"), **wide)
