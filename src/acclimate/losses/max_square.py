"""Maximum squares: entropy's work with a gradient that grows evenly with the probability (Chen 2019)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from acclimate.precision import full_precision

Over = Literal["pixels and classes", "pixels"]


def max_square_loss(logits: Tensor, *, image_weights: float | None = None, over: Over = "pixels and classes") -> Tensor:
    """Minus half the mean of the squared probabilities; with image weights, rare classes of an image count more.

    With a share q for ``image_weights`` each pixel is weighted by 1 / max(1, N_c^q N^(1-q)), where N_c of the image's
    N pixels have its predicted class; then the sum over an image is divided by C, and there is no half, as in the
    authors' code. With q = 0 every weight is 1 / N, with q = 1 every class of an image counts the same.

    Args:
        logits: (B, C, H, W).
        image_weights: q; None: every pixel counts the same.
        over: what the sum is divided by besides the number of images: ``pixels and classes`` in the code; with
            ``pixels`` alone the loss is C times as large.

    Returns:
        A scalar, at most 0; float32, or float64 for logits in float64.
    """
    probabilities = full_precision(logits).softmax(dim=1)
    squares = probabilities.square().sum(dim=1)
    classes = logits.shape[1]
    if image_weights is None:
        total = squares.mean() / 2
    else:
        predicted = probabilities.detach().argmax(dim=1).flatten(1)
        ones = torch.ones_like(predicted, dtype=squares.dtype)
        counts = ones.new_zeros(len(logits), classes).scatter_add_(1, predicted, ones)
        weights = 1 / (counts.pow(image_weights) * predicted.shape[1] ** (1 - image_weights)).clamp(min=1)
        of_pixels = weights.gather(1, predicted).view_as(squares)
        total = (of_pixels * squares).sum() / len(logits)
    return -total / (classes if over == "pixels and classes" else 1)
