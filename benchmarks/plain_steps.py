"""The published training steps written plainly: float32, the default memory format, nothing shared and nothing fused.

What acclimate's own steps are measured against. Each function takes a network and returns a step: a function of a
source and a target batch that moves the network and returns its losses. They follow the order of the authors' loops and
use of this package only the network's layers, which both sides have, and its discriminator.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as colours

Step = Callable[[Any, Any], dict[str, Tensor]]
VOID = 255


def plain_heads(network: Any) -> Any:
    """Makes a DeepLab-V2's heads sums of plain dilated convolutions."""
    for head in network.heads():
        if hasattr(head, "conv2d_list"):
            head.forward = lambda features, head=head: sum(convolution(features) for convolution in head.conv2d_list)
    return network


def advent(network: Any, *, learning_rate: float, classes: int) -> Step:
    """ADVENT's iteration: source, target through fixed discriminators, then these on both, a backward pass for each."""
    from acclimate.models.discriminator import OutputDiscriminator

    plain_heads(network)
    device = next(network.parameters()).device
    discriminators = [OutputDiscriminator(classes).to(device) for _ in range(2)]  # main, auxiliary
    sgd = published_sgd(network, learning_rate)
    adams = [torch.optim.Adam(d.parameters(), lr=1e-4, betas=(0.9, 0.99), foreach=False) for d in discriminators]
    bce = F.binary_cross_entropy_with_logits

    def information(logits: Tensor) -> Tensor:
        p = F.softmax(logits, dim=1)
        return -p * torch.log2(p + 1e-30) / math.log2(classes)

    def step(source: Any, target: Any) -> dict[str, Tensor]:
        for optimizer in (sgd, *adams):
            optimizer.zero_grad()
        for d in discriminators:
            d.requires_grad_(False)
        source_logits = all_levels(network, source.images)
        segmentation = [F.cross_entropy(logits, source.labels, ignore_index=VOID) for logits in source_logits]
        (segmentation[0] + 0.1 * segmentation[1]).backward()

        target_logits = all_levels(network, target.images)
        fooled = [d(information(logits)) for d, logits in zip(discriminators, target_logits, strict=True)]
        adversarial = [bce(f, torch.zeros_like(f)) for f in fooled]
        (0.001 * adversarial[0] + 0.0002 * adversarial[1]).backward()

        for d in discriminators:
            d.requires_grad_(True)
        told = []
        for label, domain in ((0.0, source_logits), (1.0, target_logits)):
            for d, values in zip(discriminators, domain, strict=True):
                out = d(information(values.detach()))
                loss = bce(out, torch.full_like(out, label))
                (loss / 2).backward()
                told.append(loss)
        for optimizer in (sgd, *adams):
            optimizer.step()
        return {
            "segmentation": segmentation[0].detach(),
            "adversarial main": adversarial[0].detach(),
            "discriminator main on source": told[0].detach(),
            "discriminator main on target": told[2].detach(),
        }

    return step


def self_training(
    network: Any,
    *,
    learning_rate: float,
    decay: float = 0.99,
    masked: bool = False,
    flip: bool = False,
    strong: float | None = 0.25,
    adamw: bool = False,
    threshold: float = 0.968,
) -> Step:
    """DACS: a teacher's labels on mixed images; with ``masked`` MIC's third term; with ``flip`` VFM-UDA's teacher.

    Args:
        decay: of the teacher.
        strong: of the jitter of mixed (and masked) images; None: they stay as they are.
        adamw: AdamW in the place of SGD.
        threshold: from which the teacher counts as sure.
    """
    plain_heads(network)
    teacher = copy.deepcopy(network)
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    for module in teacher.modules():  # as in evaluation, but for batch norms, which normalise with the batch
        module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)
    optimizer = published_adamw(network, learning_rate) if adamw else published_sgd(network, learning_rate)
    draw, count = random.Random(0), 0

    def teachers_labels(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            sure = F.softmax(enlarged(teacher(images).logits, images), dim=1)
            if flip:
                mirrored = F.softmax(enlarged(teacher(images.flip(3)).logits, images), dim=1)
                sure = (sure + mirrored.flip(3)) / 2
        probability, labels = torch.max(sure, dim=1)
        return labels, (probability >= threshold).float().mean().expand_as(probability)

    def weighted(images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        logits = enlarged(network(images).logits, images)
        return (F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none") * weights).mean()

    def step(source: Any, target: Any) -> dict[str, Tensor]:
        nonlocal count
        optimizer.zero_grad()
        segmentation = F.cross_entropy(
            enlarged(network(source.images).logits, source.images), source.labels, ignore_index=VOID
        )
        segmentation.backward()

        labels, weights = teachers_labels(target.images)
        pictures, answers, beliefs = [], [], []
        for image, label, other, guess, weight in zip(
            source.images, source.labels, target.images, labels, weights, strict=True
        ):
            mask = class_mask(label)
            pictures.append(image * mask + other * ~mask)
            answers.append(torch.where(mask, label, guess))
            beliefs.append(torch.where(mask, torch.ones_like(weight), weight))
        mixed = strongly(torch.stack(pictures), draw, strong)
        mixing = weighted(mixed, torch.stack(answers), torch.stack(beliefs))
        mixing.backward()
        losses = {"segmentation": segmentation.detach(), "mixed": mixing.detach()}
        if masked:
            visible = visible_blocks(target.images)
            hidden = strongly(target.images, draw, strong) * visible + network.preprocessing.mean_colour * ~visible
            masking = weighted(hidden, labels, weights)
            masking.backward()
            losses["masked"] = masking.detach()
        optimizer.step()
        count += 1
        alpha = min(1 - 1 / count, decay)
        with torch.no_grad():
            for mine, theirs in zip(teacher.parameters(), network.parameters(), strict=True):
                mine.data = alpha * mine.data + (1 - alpha) * theirs.data
        return losses

    return step


def all_levels(network: Any, images: Tensor) -> list[Tensor]:
    """The enlarged logits of the main and the auxiliary level."""
    output = network(images)
    return [enlarged(output.logits, images), enlarged(output.levels["auxiliary"].logits, images)]


def enlarged(logits: Tensor, images: Tensor) -> Tensor:
    """Logits at the size of the images."""
    return F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=True)


def published_sgd(network: Any, learning_rate: float) -> torch.optim.Optimizer:
    """SGD, one parameter after the other, the heads at their multiple of the rate."""
    groups = [
        {"params": list(group.params), "lr": learning_rate * group.learning_rate_multiple}
        for group in network.parameter_groups()
    ]
    return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, weight_decay=5e-4, foreach=False)


def published_adamw(network: Any, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW, one parameter after the other, the heads at their multiple of the rate."""
    groups = [
        {"params": list(group.params), "lr": learning_rate * group.learning_rate_multiple}
        for group in network.parameter_groups()
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.01, foreach=False)


def class_mask(label: Tensor) -> Tensor:
    """(H, W) of booleans: half of the classes of an image, drawn by torch's generator."""
    classes = torch.unique(label)
    classes = classes[classes != VOID]
    chosen = torch.randperm(len(classes))[: (len(classes) + 1) // 2]
    mask = torch.zeros_like(label, dtype=torch.bool)
    for number in classes[chosen.to(classes.device)]:
        mask = mask | (label == number)
    return mask


def visible_blocks(images: Tensor, *, ratio: float = 0.7, block: float = 6.25) -> Tensor:
    """(B, 1, H, W) of booleans: what masked images show."""
    count, _, height, width = images.shape
    side = max(1, round(block / 100 * height))
    grid = torch.rand(count, math.ceil(height / side), math.ceil(width / side)) >= ratio
    whole = torch.kron(grid.byte(), torch.ones(side, side, dtype=torch.uint8)).bool()
    return whole[:, None, :height, :width].to(images.device)


def strongly(images: Tensor, draw: random.Random, strength: float | None) -> Tensor:
    """Jitter of brightness, contrast, saturation and hue (four of five images) and a blur (every other)."""
    if strength is None:
        return images
    changed = []
    for image in images:
        if draw.random() < 0.8:
            names = ["brightness", "contrast", "saturation", "hue"]
            draw.shuffle(names)
            for name in names:
                shift = draw.uniform(-strength, strength)
                image = getattr(colours, f"adjust_{name}")(image, shift if name == "hue" else 1 + shift)
        if draw.random() < 0.5:
            image = blurred(image, draw.uniform(0.15, 1.15))
        changed.append(image)
    return torch.stack(changed)


def blurred(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur with the published kernels, a tenth of the image's sides long."""
    for axis in (1, 2):
        reach = max(1, round(0.1 * image.shape[axis]) // 2)
        places = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
        kernel = torch.exp(-0.5 * (places / sigma) ** 2)
        kernel = (kernel / kernel.sum()).view(1, 1, -1, 1) if axis == 1 else (kernel / kernel.sum()).view(1, 1, 1, -1)
        border = (0, 0, reach, reach) if axis == 1 else (reach, reach, 0, 0)
        image = F.conv2d(F.pad(image[None], border, mode="reflect"), kernel.expand(3, 1, -1, -1), groups=3)[0]
    return image
