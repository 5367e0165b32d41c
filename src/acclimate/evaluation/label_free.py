"""Scores of a checkpoint that need no labels of the target: for choosing settings and checkpoints where there are none.

No such score is reliable alone; how well each follows the true mIoU is measured over the rows of a suite
(:func:`rank_correlation`). All are computed from the probabilities on the network's own grid, of few images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.predict import views
from acclimate.labels import VOID
from acclimate.models.resize import upsample

HIGHER_IS_BETTER = {
    "mean entropy": False,
    "information maximisation": True,
    "soft neighbourhood density": True,
    "class-ratio divergence": False,
}
"""Score -> whether a better model is expected to have a higher one."""

TEMPERATURE = 0.05
"""Of the similarities in soft neighbourhood density, as published."""
PIXELS_PER_IMAGE = 128
SOURCE_LABELS = 100
"""How many label maps of the source, evenly spaced, its class ratios are counted on."""


@torch.no_grad()
def label_free_scores(
    probabilities: Sequence[Tensor],
    *,
    source_ratios: Tensor | None,
    pixels_per_image: int = PIXELS_PER_IMAGE,
    seed: int = 0,
) -> dict[str, float]:
    """All scores of :data:`HIGHER_IS_BETTER` for the predictions on a few target images.

    Args:
        probabilities: per image (C, h, w), summing to one over C.
        source_ratios: (C,) shares of the classes in the source's labels; None: the divergence from them is left out.
        pixels_per_image: drawn at random for soft neighbourhood density, whose cost grows with their square.
        seed: of that draw.

    Raises:
        ValueError: there is no image.
    """
    if not probabilities:
        raise ValueError("label-free scores need at least one image")
    pixels = [image.flatten(start_dim=1).T.double() for image in probabilities]  # (h * w, C) each
    everything = torch.cat(pixels)
    scores = {
        "mean entropy": mean_entropy(everything),
        "information maximisation": information_maximisation(everything),
        "soft neighbourhood density": soft_neighbourhood_density(_drawn(pixels, pixels_per_image, seed)),
    }
    if source_ratios is not None:
        scores["class-ratio divergence"] = class_ratio_divergence(everything, source_ratios)
    return {name: round(value, 6) for name, value in scores.items()}


def mean_entropy(probabilities: Tensor) -> float:
    """Mean over pixels of the normalised entropy (ADVENT, equation 2): 0 sure everywhere, 1 uniform.

    Args:
        probabilities: (N, C).
    """
    return float(_entropy(probabilities).mean() / math.log(probabilities.shape[1]))


def information_maximisation(probabilities: Tensor) -> float:
    """Entropy of the mean prediction minus the mean entropy, both over ln C: sure of each pixel, and of all classes.

    The mutual information of pixel and predicted class (Bridle et al. 1992; Shi and Sha 2012), in [0, 1].

    Args:
        probabilities: (N, C).
    """
    classes = math.log(probabilities.shape[1])
    return float(_entropy(probabilities.mean(dim=0)) / classes) - mean_entropy(probabilities)


def soft_neighbourhood_density(probabilities: Tensor, *, temperature: float = TEMPERATURE) -> float:
    """How evenly each pixel's similarity spreads over its neighbours (Saito et al. 2021): higher means dense clusters.

    Predictions scaled to unit length are compared by their dot product; the softmax of a pixel's similarities to all
    *other* pixels, at a low temperature, is a distribution over neighbours. The score is its mean entropy in nats.

    Args:
        probabilities: (N, C), N at least 2.
        temperature: what similarities are divided by.

    Returns:
        Between 0 and ln(N - 1).
    """
    count = probabilities.shape[0]
    if count < 2:
        raise ValueError(f"soft neighbourhood density needs at least two pixels, got {count}")
    features = nn.functional.normalize(probabilities, dim=1)
    similarity = features @ features.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    return float(_entropy(similarity.softmax(dim=1)).mean())


def class_ratio_divergence(probabilities: Tensor, source_ratios: Tensor) -> float:
    """Jensen-Shannon divergence, in bits, of the mean prediction from the source's class ratios: 0 equal, 1 disjoint.

    Args:
        probabilities: (N, C).
        source_ratios: (C,), summing to one.
    """
    mean = probabilities.mean(dim=0)
    ratios = source_ratios.to(mean)
    middle = _entropy((mean + ratios) / 2)
    divergence = middle - (_entropy(mean) + _entropy(ratios)) / 2
    return max(0.0, float(divergence) / math.log(2))


def _entropy(probabilities: Tensor) -> Tensor:
    """In nats, over the last dimension; 0 ln 0 is 0."""
    result: Tensor = -torch.special.xlogy(probabilities, probabilities).sum(dim=-1)
    return result


def _drawn(pixels: Sequence[Tensor], count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([image[torch.randperm(len(image), generator=generator)[:count]] for image in pixels])


@torch.no_grad()
def predicted_probabilities(
    networks: Sequence[nn.Module],
    data: Dataset,
    indices: Sequence[int],
    *,
    inference: Inference,
    weights: Sequence[float] | None,
    device: str,
) -> list[Tensor]:
    """Per image (C, h, w) probabilities at the first network's stride; views and members average their logits.

    Args:
        networks: in evaluation mode.
        indices: which images of ``data``.
        inference: how networks are asked; its ``resample`` and ``average`` are not read, as nothing is enlarged.
        weights: one per network; equal by default.
    """
    shares = torch.tensor([1.0] * len(networks) if weights is None else list(weights))
    shares = shares / shares.sum()
    inference = inference.model_copy(update={"resample": "logits"})
    found = []
    for index in indices:
        pixels = inference.prepared(data.image(index)).to(device)
        members = [
            (float(share) / inference.views, logits)
            for share, network in zip(shares, networks, strict=True)
            for logits in views(network, pixels, inference)
        ]
        size = (members[0][1].shape[2], members[0][1].shape[3])
        logits = sum(share * (low if low.shape[2:] == size else upsample(low, size)) for share, low in members)
        assert isinstance(logits, Tensor)
        found.append(logits.softmax(dim=1)[0].cpu())
    return found


def sampled_class_ratios(dataset: Dataset, *, classes: int, labels: int = SOURCE_LABELS) -> Tensor | None:
    """(C,) shares of the classes over evenly spaced label maps; None where the set has no labels or they are void.

    The exact ratios of all labels are what ``acclimate stats`` counts; for a divergence a sample is close enough.
    """
    if not dataset.has_labels:
        return None
    counts: NDArray[np.int64] = np.zeros(classes, dtype=np.int64)
    for index in evenly_spaced(labels, len(dataset)):
        label = dataset.label(index)
        counts += np.bincount(label[label != VOID].ravel(), minlength=classes)[:classes]
    total = int(counts.sum())
    return torch.from_numpy(counts / total) if total else None


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None below three pairs or without variation.

    Raises:
        ValueError: the two differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"rank correlation needs pairs, got {len(first)} and {len(second)} values")
    if len(first) < 3:
        return None
    ranks = [_ranks(values) for values in (first, second)]
    a, b = (values - values.mean() for values in ranks)
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0 else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    equal = (array[:, None] == array[None, :]).sum(axis=1)
    ranks: NDArray[np.float64] = below + (equal + 1) / 2
    return ranks
