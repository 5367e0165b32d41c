"""From images to score maps for pseudo-labels: one look or many, with or without a spatial prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from acclimate.models.network import SegmentationNetwork
from acclimate.models.resize import upsample
from acclimate.pseudo.class_balanced import class_balanced_labels
from acclimate.pseudo.confidence import ScoreMaps, score_maps, score_maps_of_probabilities
from acclimate.pseudo.selection import select
from acclimate.pseudo.sisc import LabelInference, averaged_probabilities
from acclimate.pseudo.thresholds import Selection, Thresholds


@torch.no_grad()
def asked(
    network: SegmentationNetwork,
    images: Tensor,
    *,
    names: Sequence[str],
    size: tuple[int, int],
    selection: Selection,
    inference: LabelInference,
    prior: Tensor | None = None,
) -> ScoreMaps:
    """Predictions and uncertainties of images.

    Args:
        network: in evaluation mode.
        images: (B, 3, h, w) RGB in [0, 1].
        names: one per image.
        size: (H, W) of the maps.
        selection: what is enlarged, and whether the decision needs the probabilities.
        inference: how the network is asked.
        prior: (C, h', w') spatial prior in [0, 1] that multiplies the probabilities; enlarged to the maps' size.
    """
    if inference.plain and prior is None:
        logits = network(images).logits
        maps = score_maps(logits, size=size, resample=selection.resample)
        if selection.decision == "class-balanced":
            low = logits.float() if selection.resample == "probabilities" else upsample(logits, size)
            maps = replace(maps, probabilities=low.softmax(dim=1))
        return maps
    probabilities = averaged_probabilities(network, images, names=names, inference=inference)
    if (probabilities.shape[2], probabilities.shape[3]) != size:
        probabilities = _enlarged_where_covered(probabilities, size)
    if prior is not None:
        maps, probabilities = _with_prior(probabilities, prior.to(probabilities))
    else:
        maps = score_maps_of_probabilities(probabilities)
    return replace(maps, probabilities=probabilities) if selection.decision == "class-balanced" else maps


def selected(maps: ScoreMaps, thresholds: Thresholds, selection: Selection) -> Tensor:
    """The pseudo-labels that a selection's decision gives, (B, H, W) uint8, void 255."""
    if selection.decision == "class-balanced" and thresholds.confidence == "softmax":
        assert maps.probabilities is not None
        return class_balanced_labels(maps.probabilities, maps, thresholds)
    return select(maps.prediction, maps.uncertainty[thresholds.confidence], thresholds)


def _enlarged_where_covered(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarged, with pixels nearest to an uncovered one left at 0 and the others' sum brought back to 1."""
    covered = (probabilities.sum(dim=1, keepdim=True) > 0).float()
    large, share = upsample(probabilities, size), upsample(covered, size)
    return torch.where(share >= 0.5, large / share.clamp_(min=0.5), 0.0)


def _with_prior(probabilities: Tensor, prior: Tensor) -> tuple[ScoreMaps, Tensor]:
    """Score maps of P times prior, and that product: not renormalised for the confidence, as in CBST's code.

    Entropy is that of the renormalised product, as only distributions have one.
    """
    product = probabilities * upsample(prior[None], (probabilities.shape[2], probabilities.shape[3]))
    maps = score_maps_of_probabilities(product / product.sum(dim=1, keepdim=True))
    uncertainty = torch.where(maps.uncertainty["softmax"].isnan(), torch.nan, 1.0 - product.amax(dim=1))
    return replace(maps, uncertainty={**maps.uncertainty, "softmax": uncertainty}), product
