"""Prototypes of classes: means of features, distances to them, and losses on labels they correct (ProDA)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acclimate.labels import VOID
from acclimate.precision import full_precision


def prototype_distances(features: Tensor, prototypes: Tensor) -> Tensor:
    """Euclidean distance of every feature to every prototype.

    Args:
        features: (B, D, h, w).
        prototypes: (C, D).

    Returns:
        (B, C, h, w); float32, or float64 for features in float64.
    """
    flat = full_precision(features).flatten(2).transpose(1, 2)
    distances: Tensor = torch.cdist(flat, prototypes.to(flat), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.transpose(1, 2).reshape(len(flat), -1, *features.shape[2:])


def prototype_probabilities(distances: Tensor, seen: Tensor) -> Tensor:
    """softmax(-d) over the classes that have a prototype; 0 for those that have none.

    Args:
        distances: (B, C, h, w).
        seen: (C,) bool, true for some class.
    """
    return (-distances).masked_fill(~seen.view(1, -1, 1, 1), -torch.inf).softmax(dim=1)


@torch.no_grad()
def class_means(features: Tensor, logits: Tensor, *, least: int = 10) -> list[tuple[int, Tensor]]:
    """Each class's mean feature in each image, over the places where it is the most probable one.

    Args:
        features: (B, D, h, w).
        logits: (B, C, h, w).
        least: places that a class needs in an image.

    Returns:
        (class, (D,) mean), image by image.
    """
    found = []
    for image, predicted in zip(full_precision(features), logits.argmax(dim=1), strict=True):
        counts = torch.bincount(predicted.flatten(), minlength=logits.shape[1])
        for number in torch.nonzero(counts >= max(1, least)).flatten().tolist():
            found.append((int(number), image[:, predicted == number].mean(dim=1)))
    return found


def reverse_cross_entropy(logits: Tensor, labels: Tensor, *, floor: float = 1e-4) -> Tensor:
    """-sum_c p_c log y_c, where 0 of the label y counts as ``floor``; mean over valid pixels.

    That is -log(floor) times the probability of all other classes: it saturates where a label is wrong.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) train ids, void 255.
        floor: what stands for log 0.
    """
    probabilities = full_precision(logits).softmax(dim=1)
    valid = labels != VOID
    own = probabilities.gather(1, labels.masked_fill(~valid, 0).unsqueeze(1)).squeeze(1)
    each = -math.log(floor) * (1 - own)
    return torch.where(valid, each, 0.0).sum() / valid.sum().clamp(min=1)


def divergence(teacher: Tensor, student: Tensor, counted: Tensor) -> Tensor:
    """KL(teacher || student) of probabilities, divided by the number of counted places and by that of the classes.

    Args:
        teacher, student: (B, C, h, w); a student's 0 has to be the teacher's, too.
        counted: (B, h, w) bool.
    """
    tiny = torch.finfo(student.dtype).tiny
    each = (torch.xlogy(teacher, teacher) - torch.xlogy(teacher, student.clamp(min=tiny))).sum(dim=1)
    return torch.where(counted, each, 0.0).sum() / (counted.sum().clamp(min=1) * teacher.shape[1])
