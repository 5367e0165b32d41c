"""Entropy of predictions: the map, its mean (MinEnt) and its per-class terms (AdvEnt).

Everything starts from logits and log-softmax in full precision: computing p * log(p + epsilon) from probabilities loses
p near 1 in bfloat16 and turns into NaN in half precision, where the epsilon itself rounds to zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acclimate.precision import full_precision


def weighted_self_information(logits: Tensor) -> Tensor:
    """The maps I = -P log P / log C whose sum over classes is the normalised entropy (ADVENT section 3.2).

    The paper leaves the logarithm and the scale open; its published code divides by log C, and so does this.

    Args:
        logits: (B, C, H, W).

    Returns:
        (B, C, H, W) non-negative; float32, or float64 for logits in float64.
    """
    log_probabilities = full_precision(logits).log_softmax(dim=1)
    return log_probabilities.exp() * log_probabilities * (-1.0 / math.log(logits.shape[1]))


def entropy_map(logits: Tensor) -> Tensor:
    """The normalised entropy E = -(1 / log C) sum_c P log P of every pixel (ADVENT eq. 2).

    Args:
        logits: (B, C, H, W).

    Returns:
        (B, H, W) in [0, 1]; float32, or float64 for logits in float64.
    """
    return weighted_self_information(logits).sum(dim=1)


def entropy_loss(logits: Tensor, *, highest: float = 1.0) -> Tensor:
    """The mean entropy of the target's pixels (ADVENT eq. 3), or of its most uncertain ones ("entropy range").

    Eq. 3 sums over pixels, the published code averages; the published weight 0.001 belongs to the mean, which is used
    here. With ``highest`` < 1 only that fraction of each image's pixels with the highest entropy enters the mean (30 %
    in ADVENT section 4.2); the selection itself carries no gradient.

    Args:
        logits: (B, C, H, W).
        highest: fraction of each image's pixels, in (0, 1].

    Returns:
        A scalar in [0, 1]; float32, or float64 for logits in float64.
    """
    entropy = entropy_map(logits).flatten(start_dim=1)
    if highest >= 1.0:
        return entropy.mean()
    count = max(1, round(highest * entropy.shape[1]))
    return torch.topk(entropy, count, dim=1, sorted=False).values.mean()


def robust_entropy_loss(logits: Tensor, *, power: float, epsilon: float) -> Tensor:
    """The mean of rho(E) = (E^2 + epsilon^2)^power over pixels: FDA's Charbonnier penalty of the entropy.

    With a power of 2 it grows about as E^4: pixels of high entropy count most, where plain entropy hardly moves them.

    Args:
        logits: (B, C, H, W).
        power: eta.
        epsilon: what keeps the gradient finite at 0 for powers below a half.

    Returns:
        A scalar; float32, or float64 for logits in float64.
    """
    return (entropy_map(logits).square() + epsilon**2).pow(power).mean()
