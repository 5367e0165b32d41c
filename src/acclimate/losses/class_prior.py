"""The class-ratio prior (ADVENT eq. 10): no class may vanish from the target."""

from __future__ import annotations

from torch import Tensor

from acclimate.precision import full_precision


def class_ratio_prior(logits: Tensor, source_ratios: Tensor, *, mu: float) -> Tensor:
    """How far each class's expected share of the image falls below ``mu`` times its share of the source (eq. 10).

    Args:
        logits: (B, C, H, W) of target images.
        source_ratios: (C,) share of each class among the source's labelled pixels, summing to 1.
        mu: 0 asks nothing, 1 asks for the exact ratio; 0.5 in the paper.

    Returns:
        A scalar in [0, mu]: sum over classes, mean over images. The paper gives the term no weight of its own.
    """
    expected = full_precision(logits).softmax(dim=1).mean(dim=(2, 3))
    return (mu * source_ratios.to(expected, non_blocking=True) - expected).clamp(min=0).sum(dim=1).mean()


def class_balance_loss(logits: Tensor, source_ratios: Tensor) -> Tensor:
    """Binary cross-entropy of a batch's mean prediction with the source's class frequencies, mean over classes (PyCDA).

    Unlike the class-ratio prior it pulls classes down as well as up, and looks at all images of a batch together.

    Args:
        logits: (B, C, H, W) of target images.
        source_ratios: (C,) share of each class among the source's labelled pixels, summing to 1.

    Returns:
        A scalar; float32, or float64 for logits in float64.
    """
    expected = full_precision(logits).softmax(dim=1).mean(dim=(0, 2, 3))
    wanted = source_ratios.to(expected, non_blocking=True)
    return -(wanted * (expected + 1e-6).log() + (1 - wanted) * (1 - expected + 1e-6).log()).mean()
