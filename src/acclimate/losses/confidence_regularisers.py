"""What keeps self-training from being too sure of its own labels: CRST's regularisers and soft labels (Zou 2019)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from acclimate.labels import VOID
from acclimate.precision import full_precision

Regulariser = Literal["kld", "entropy", "l2"]


def confidence_regulariser(logits: Tensor, labels: Tensor, *, kind: Regulariser) -> Tensor:
    """How sure a network is of the pixels that have a label, mean over them; 0 where there is none.

    ``kld``: -(1/C) sum_c log p_c, the divergence of the uniform distribution from p but for a constant (MRKLD);
    ``entropy``: sum_c p_c log p_c, minus the entropy (MRENT); ``l2``: sum_c p_c^2 (MRL2).

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) train ids, void 255.

    Returns:
        A scalar; float32, or float64 for logits in float64.
    """
    log_probabilities = full_precision(logits).log_softmax(dim=1)
    if kind == "kld":
        each = -log_probabilities.mean(dim=1)
    elif kind == "entropy":
        each = (log_probabilities.exp() * log_probabilities).sum(dim=1)
    else:
        each = (2 * log_probabilities).exp().sum(dim=1)
    return _mean_where(each, labels != VOID)


@torch.no_grad()
def soft_labels(logits: Tensor, thresholds: Tensor, *, softness: float) -> tuple[Tensor, Tensor]:
    """CRST's soft labels (LRENT) and which pixels are kept.

    Labels are proportional to (p_c / tau_c)^(1 / alpha), the minimum of their cross-entropy less alpha times their
    entropy; a pixel is kept where that minimum is below the cost of no label, which is where the sum of these powers
    exceeds 1. As alpha goes to 0 this becomes CBST's decision: the largest p_c / tau_c, where it exceeds 1.

    Args:
        logits: (B, C, H, W) of the network that labels.
        thresholds: (C,) tau, probabilities.
        softness: alpha.

    Returns:
        (B, C, H, W) labels that sum to 1, and (B, H, W) bool.
    """
    least = thresholds.to(logits, non_blocking=True).clamp(min=1e-12).log()
    ratios = full_precision(logits).log_softmax(dim=1) - least.view(1, -1, 1, 1)
    powers = ratios / softness
    return powers.softmax(dim=1), powers.logsumexp(dim=1) > 0


def soft_cross_entropy(logits: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """-sum_c y_c log p_c, mean over the pixels that are kept; 0 where there is none.

    Args:
        logits, labels: (B, C, H, W).
        kept: (B, H, W) bool.
    """
    return _mean_where(-(labels * full_precision(logits).log_softmax(dim=1)).sum(dim=1), kept)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
