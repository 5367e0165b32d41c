"""Keeping features near those of a network that was trained on real pictures (DAFormer section 3.3, VFM-UDA++)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision


def cells_of_things(labels: Tensor, things: Iterable[int], grid: tuple[int, int], *, share: float = 0.75) -> Tensor:
    """The cells of a feature map that belong to one thing-class, (B, h, w) bool.

    Args:
        labels: (B, H, W) int64 train ids; void belongs to no class but counts as area.
        things: train ids of the classes that count.
        grid: (h, w) of the features. Where they do not divide H and W, cells overlap by a pixel.
        share: of a cell's pixels that the class must cover (0.75 published), above 0.5.
    """
    if not 0.5 < share <= 1:
        raise ValueError(f"share must be above 0.5, so that one class owns a cell, and at most 1, not {share}")
    owned = torch.zeros(labels.shape[0], *grid, dtype=torch.bool, device=labels.device)
    for thing in things:
        covered = functional.adaptive_avg_pool2d((labels == thing).float(), grid)
        owned |= covered >= share
    return owned


def feature_distance(features: Tensor, reference: Tensor, cells: Tensor) -> Tensor:
    """DAFormer eq. 8: ||F - F0||_2 over channels, mean over the cells that count; 0 where there are none.

    Args:
        features: (B, D, h, w) of the network in training.
        reference: (B, D, h, w) of the frozen one.
        cells: (B, h, w) bool.
    """
    distance: Tensor = torch.linalg.vector_norm(full_precision(features) - full_precision(reference), dim=1)
    return torch.sum(distance * cells) / cells.sum().clamp(min=1)


def feature_alignment(features: Tensor, reference: Tensor, *, cosine: float = 0.9) -> Tensor:
    """VFM-UDA++'s distance to a frozen foundation model: (1 - cosine) smooth-L1 + cosine (1 - cos), mean over cells.

    Args:
        features: (B, D, h, w), projected to the reference's channels.
        reference: (B, D, h', w'); the features are enlarged or reduced to its grid.
        cosine: weight of the angle (0.9 published); the rest is that of smooth-L1.
    """
    features, reference = full_precision(features), full_precision(reference)
    if features.shape[-2:] != reference.shape[-2:]:
        features = functional.interpolate(features, size=reference.shape[-2:], mode="bilinear", align_corners=False)
    angle = 1 - functional.cosine_similarity(features, reference, dim=1).mean()
    return (1 - cosine) * functional.smooth_l1_loss(features, reference) + cosine * angle
