"""CRST: self-training that is kept from being too sure of its labels, by the model or by the labels (Zou 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat

from acclimate.data.sample import Batch
from acclimate.losses.confidence_regularisers import confidence_regulariser, soft_cross_entropy, soft_labels
from acclimate.methods.base import Losses, Method, PseudoLabelOptions, Setting, Statistic, Term, figure
from acclimate.methods.trainable import KEPT_SHARE
from acclimate.models.network import Output, SegmentationNetwork
from acclimate.models.resize import upsample

LABELLING = "labelling"
"""The reference to the network that made the labels: the one that the stage starts from."""


class CrstOptions(PseudoLabelOptions):
    """Settings of CRST.

    Attributes:
        regulariser: of the model, on labelled target pixels: ``kld`` (MRKLD), ``entropy`` (MRENT), ``l2`` (MRL2) or
            ``none``.
        regulariser_weight: its effective weight. MRKLD's is 0.1 in the text; the authors' code multiplies by it twice,
            which makes 0.01.
        softness: alpha of soft labels (LRENT; 0.25 published), in the place of the pseudo-labels' own; null: these.
    """

    regulariser: Literal["kld", "entropy", "l2", "none"] = "kld"
    regulariser_weight: NonNegativeFloat = 0.01
    softness: PositiveFloat | None = None


class Crst(Method):
    """L_seg(source) + L_seg(pseudo-labels) + alpha r(target), or soft labels in the place of hard ones.

    Soft labels are made of what the network that the stage starts from says of the very crop that is trained on; the
    authors' code cuts them from maps of the whole image, of which it keeps 159 MB for each.
    """

    name = "crst"
    summary = "self-training with a confidence regulariser or with soft labels (CRST: MRKLD, MRENT, MRL2, LRENT)"
    Options = CrstOptions
    options: CrstOptions
    sees_target = False

    @classmethod
    def needs(cls, options: Any) -> frozenset[Statistic]:
        thresholds: frozenset[Statistic] = frozenset() if options.softness is None else frozenset({"class thresholds"})
        return super().needs(options) | thresholds

    def __init__(self, network: SegmentationNetwork, *, options: CrstOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        if options.softness is not None:
            self.refer_to(LABELLING, deepcopy(network))

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        yield self.supervised(source)[0]
        if target is None or target.labels is None:
            return
        output, options = self.target_output(target), self.options
        terms = self.pseudo_labels(output, target) if options.softness is None else self._soft(output, target)
        if options.regulariser != "none" and options.regulariser_weight > 0:
            loss = confidence_regulariser(output.logits, target.labels, kind=options.regulariser)
            terms["regulariser"] = Term(loss, options.regulariser_weight)
        yield terms

    def _soft(self, output: Output, target: Batch) -> Losses:
        thresholds, softness = self.setting.class_thresholds, self.options.softness
        assert thresholds is not None, "soft labels need the thresholds of the hard ones"
        assert softness is not None
        with torch.no_grad():
            said: Output = self.references[LABELLING](target.images)
            logits = upsample(said.logits, (target.images.shape[-2], target.images.shape[-1]))
        labels, kept = soft_labels(logits, thresholds, softness=softness)
        loss = soft_cross_entropy(output.logits, labels, kept)
        return {
            "soft pseudo-labels": Term(loss, self.options.pseudo_label_weight),
            KEPT_SHARE: figure(kept.float().mean()),
        }
