"""Image-level labels: which classes an image holds, and the loss that teaches it (MLSL section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision


def class_shares(labels: Tensor, classes: int) -> Tensor:
    """h(i): the fraction of each image's pixels that is class i, (B, C) float32; void counts as pixels of no class.

    Args:
        labels: (B, H, W) int64 train ids; everything from ``classes`` on is void.
        classes: C.
    """
    flat = labels.reshape(labels.shape[0], -1)
    owned = flat < classes
    counts = torch.zeros(flat.shape[0], classes, device=labels.device)
    counts.scatter_add_(1, torch.where(owned, flat, 0), owned.float())
    return counts / flat.shape[1]


def image_labels(shares: Tensor, sizes: Tensor, *, eta: float, inclusive: bool = False) -> Tensor:
    """c_pwl(i) = 1 iff h_t(i) > eta h_s(i) (MLSL section 3.3), (B, C) float32.

    Args:
        shares: (B, C) h_t, the fraction of each image that is class i.
        sizes: (C,) h_s, the mean size of each class in source images that contain it (eq. 4).
        eta: 0.05 in the paper. With 0 a single pixel makes a class present.
        inclusive: >= as in the authors' code; a class without a pixel is absent all the same.
    """
    least = eta * sizes
    present = shares >= least if inclusive else shares > least
    return (present & (shares > 0)).float()


def image_label_loss(logits: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """L_cl = -(1/C) sum_i [c_i log F_i + (1 - c_i) log(1 - F_i)], averaged over images (MLSL eq. 5).

    Args:
        logits: (B, C); F is their sigmoid.
        labels: (B, C) of 0 and 1.
        known: (B,) bool: images that count, None for all. One whose pseudo-label is void throughout says nothing of
            what it holds, rather than that it holds nothing. Without any the loss is 0.
    """
    each = functional.binary_cross_entropy_with_logits(full_precision(logits), labels, reduction="none").mean(dim=1)
    return each.mean() if known is None else (each * known).sum() / known.sum().clamp(min=1)
