"""One step of a method, by the loop and by hand: what independent implementations are compared with, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from toy import CLASSES, SOURCE_SIZE, ToyNetwork, batch, make_method

from acclimate.data.sample import Batch
from acclimate.methods import Method
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.training.loop import train_step

RATE, DECAY = 0.05, 5e-4
HEADS = 10.0


def double(images: Batch) -> Batch:
    return Batch(images.images.double(), images.labels, images.names)


def pair(step: int = 0, *, labels: bool = False, count: int = 2) -> tuple[Batch, Batch]:
    """A source and a target batch of one size in float64; the target's with (pseudo-)labels if asked for."""
    source = batch(step, size=SOURCE_SIZE, count=count)
    target = batch(step, size=SOURCE_SIZE, labels=labels, count=count, domain=1)
    return double(source), double(target)


def make(name: str, *, multi_level: bool = False, **options: Any) -> Method:
    """The method on a toy network in float64."""
    settings = OptimizerSettings(learning_rate=RATE, weight_decay=DECAY, discriminator_learning_rate=0.01)
    return make_method(name, ToyNetwork(multi_level=multi_level).double(), optimizer=settings, **options).double()


def assert_one_step(
    method: Method, source: Batch, target: Batch | None, loss: Callable[[Any], Tensor], *, step: int = 0
) -> None:
    """The loop's step moves the network as SGD by hand does on ``loss`` of a copy of the network."""
    alone: Any = copy.deepcopy(method.network)
    train_step(method, source, target, step, fabric=Fabric(accelerator="cpu", devices=1, precision="64-true"))
    names = [name for name, parameter in alone.named_parameters() if parameter.requires_grad]
    parameters = dict(alone.named_parameters())
    found = torch.autograd.grad(loss(alone), [parameters[name] for name in names], allow_unused=True)
    moved = dict(method.network.named_parameters())
    for name, gradient in zip(names, found, strict=True):
        rate = RATE * (HEADS if "head" in name else 1.0)
        before = parameters[name].detach()
        assert gradient is not None, name
        expected = before - rate * (gradient + DECAY * before)
        assert torch.allclose(moved[name], expected, rtol=0, atol=1e-10), name
        assert not torch.equal(moved[name], before), name


def large(logits: Tensor, size: tuple[int, int] = SOURCE_SIZE) -> Tensor:
    return nn.Upsample(size=size, mode="bilinear", align_corners=True)(logits)  # type: ignore[no-any-return]


def probabilities(logits: Tensor) -> Tensor:
    powers = torch.exp(logits - logits.max(dim=1, keepdim=True).values)
    return powers / powers.sum(dim=1, keepdim=True)


def rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) as one row per pixel, (B H W, C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over valid pixels of -log of the probability of the right class, one pixel's row at a time."""
    each, right = rows(probabilities(logits)), labels.reshape(-1)
    each, right = each[right != 255], right[right != 255]
    return -torch.log(each[torch.arange(len(each)), right]).mean() if len(each) else each.sum()


__all__ = ["CLASSES", "SOURCE_SIZE"]
