"""The supervised loss of source images and of pseudo-labels (ADVENT eq. 1, ESL eq. 4)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from acclimate.labels import VOID
from acclimate.precision import full_precision

Over = Literal["valid", "all"]


def cross_entropy(logits: Tensor, labels: Tensor, *, weights: Tensor | None = None, over: Over = "valid") -> Tensor:
    """Cross-entropy, mean over the pixels that are not void.

    A batch in which every pixel is void contributes zero (with zero gradients) where the plain mean would be NaN.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) int64, train ids in [0, C) or 255 for void.
        weights: (B, H, W), a factor on each pixel's loss (how sure a teacher was); None: 1. They do not change what the
            sum is divided by.
        over: what the sum is divided by: the number of pixels that are not void (``valid``), or of ``all`` pixels, as
            DACS and what builds on it do.

    Returns:
        A scalar in nats; float32, or float64 for logits in float64.
    """
    logits = full_precision(logits)
    if weights is None:
        total = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum")
    else:
        total = (F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none") * weights).sum()
    if over == "all":
        return total / labels.numel()
    return total / (labels != VOID).sum().clamp(min=1)


def logarithmic_class_weights(ratios: Tensor, *, smoothing: float = 1.02) -> Tensor:
    """A factor for each class that grows as it gets rarer: 1 / ln(smoothing + ratio) (ENet, Paszke et al. 2016).

    Scaled so that the mean over the pixels they were counted on is 1: the loss keeps its size beside others.

    Args:
        ratios: (C,) share of each class among labelled pixels; they sum to 1.
        smoothing: more than 1; 1.02 published, which gives the rarest class about fifty times a class of all pixels.

    Returns:
        (C,), positive.
    """
    weights = 1.0 / torch.log(smoothing + ratios)
    return weights / (ratios * weights).sum()


def enlarged_cross_entropy(
    logits: Tensor, labels: Tensor, *, weights: Tensor | None = None, over: Over = "valid"
) -> Tensor:
    """:func:`cross_entropy` of logits enlarged to the labels' size (bilinear, aligned corners), image by image.

    The enlarged logits of one image are held at a time, and its gradient is taken on the spot: of 150 classes at
    1024x1024 a batch of 8 would hold 5 GB of them, three times over. Sums are taken in another order than over the
    whole batch, so that values and gradients agree to rounding.

    Args:
        logits: (B, C, h, w).
        labels: (B, H, W) int64, train ids in [0, C) or 255 for void.
        weights, over: as there.

    Returns:
        A scalar in nats; float32, or float64 for logits in float64.
    """
    total: Tensor = _EnlargedCrossEntropy.apply(logits, labels, weights)
    if over == "all":
        return total / labels.numel()
    return total / (labels != VOID).sum().clamp(min=1)


class _EnlargedCrossEntropy(torch.autograd.Function):
    """The sum over all pixels; its gradient is made with its value, for both need the same enlarged logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        low = full_precision(logits.detach())
        needed = ctx.needs_input_grad[0]
        gradient = torch.empty_like(low) if needed else None
        sums = []
        with torch.autocast(logits.device.type, enabled=False), torch.set_grad_enabled(needed):
            for number in range(len(low)):
                each = low[number : number + 1].requires_grad_(needed)
                enlarged = F.interpolate(each, size=labels.shape[1:], mode="bilinear", align_corners=True)
                place = slice(number, number + 1)
                if weights is None:
                    loss = F.cross_entropy(enlarged, labels[place], ignore_index=VOID, reduction="sum")
                else:
                    pixels = F.cross_entropy(enlarged, labels[place], ignore_index=VOID, reduction="none")
                    loss = (pixels * weights[place]).sum()
                sums.append(loss.detach())
                if gradient is not None:
                    (gradient[place],) = torch.autograd.grad(loss, each)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return sums[0] if len(sums) == 1 else torch.stack(sums).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """(1 - p)^gamma times the cross-entropy of each pixel, p the probability of its class; mean over valid pixels.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) train ids, void 255.
        gamma: 0 is the cross-entropy.

    Returns:
        A scalar; float32, or float64 for logits in float64; 0 where every pixel is void.
    """
    each = F.cross_entropy(full_precision(logits), labels, ignore_index=VOID, reduction="none")
    if gamma > 0:
        each = each * (1 - (-each).exp()).clamp(min=0).pow(gamma)
    return each.sum() / (labels != VOID).sum().clamp(min=1)
