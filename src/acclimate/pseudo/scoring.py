"""From images to score maps for pseudo-labels: one view or many, with or without a spatial prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from acclimate.evaluation.inference import ONCE, Inference
from acclimate.models.network import SegmentationNetwork
from acclimate.models.resize import upsample
from acclimate.pseudo.confidence import ScoreMaps, score_maps, score_maps_of_probabilities
from acclimate.pseudo.sisc import Patches, low_probabilities
from acclimate.pseudo.thresholds import Selection


@dataclass(frozen=True)
class Scoring:
    """How score maps come from images, in two steps: what the network answers, and the maps made of it.

    Attributes:
        selection: what is enlarged, and whether the decision needs the probabilities.
        inference: how images, or their patches, are seen; its ``resample`` is the selection's.
        patches: SISC's patches; None: whole images.
        prior: (C, h', w') spatial prior in [0, 1] that multiplies the probabilities; enlarged to the maps' size.
    """

    selection: Selection
    inference: Inference = ONCE
    patches: Patches | None = None
    prior: Tensor | None = None

    def score(
        self, network: SegmentationNetwork, images: Tensor, *, names: Sequence[str], size: tuple[int, int]
    ) -> ScoreMaps:
        """Predictions and uncertainties of images.

        Args:
            network: in evaluation mode.
            images: (B, 3, h, w) RGB in [0, 1].
            names: one per image.
            size: (H, W) of the maps.
        """
        answers = self.answers(network, images, names=names)
        return self.maps(answers, seen=(images.shape[2], images.shape[3]), size=size)

    @torch.no_grad()
    def answers(self, network: SegmentationNetwork, images: Tensor, *, names: Sequence[str]) -> Tensor:
        """What the network says before it is enlarged: (B, C, h', w') logits of a single view, else probabilities."""
        if self._of_logits:
            logits: Tensor = network(images).logits
            return logits
        return low_probabilities(network, images, names=names, inference=self.inference, patches=self.patches)

    @torch.no_grad()
    def maps(self, answers: Tensor, *, seen: tuple[int, int], size: tuple[int, int]) -> ScoreMaps:
        """The score maps of :meth:`answers`.

        Args:
            answers: (B, C, h', w').
            seen: (h, w) of the images they are of.
            size: (H, W) of the maps.
        """
        balanced = self.selection.decision == "class-balanced"
        if self._of_logits:
            maps = score_maps(answers, size=size, resample=self.selection.resample)
            if balanced:
                low = answers.float() if self.selection.resample == "probabilities" else upsample(answers, size)
                maps = replace(maps, probabilities=low.softmax(dim=1))
            return maps
        probabilities = answers if answers.shape[2:] == seen else upsample(answers, seen)
        if seen != size:
            probabilities = _enlarged_where_covered(probabilities, size)
        if self.prior is None:
            maps = score_maps_of_probabilities(probabilities)
        else:
            maps, probabilities = _with_prior(probabilities, self.prior.to(probabilities))
        return replace(maps, probabilities=probabilities) if balanced else maps

    @property
    def _of_logits(self) -> bool:
        return self.inference.single and self.patches is None and self.prior is None


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
