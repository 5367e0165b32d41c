"""MinEnt for detection: minimise the entropy of every anchor's class prediction (ADVENT appendix A)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import NonNegativeFloat

from acclimate.detection.detector import DetectorOutput
from acclimate.detection.losses import Reduction, box_entropy_loss
from acclimate.detection.methods.base import DetectionAdaptingOptions, EntropyMethod
from acclimate.detection.sample import DetectionBatch
from acclimate.methods.trainable import Losses, Term


class DetectionMinEntOptions(DetectionAdaptingOptions):
    """Settings of MinEnt for detection.

    Attributes:
        entropy_weight: lambda_ent; the paper does not give it. It belongs to ``reduction``.
        reduction: ``sum`` over anchors and maps as eq. 12 prints it, or ``mean``, which divides by their number, as the
            published segmentation code does with pixels.
    """

    entropy_weight: NonNegativeFloat = 0.1
    reduction: Reduction = "mean"


class DetectionMinEnt(EntropyMethod):
    """L_det(source) + lambda_ent * L_ent(target), L_ent of eq. 11-12."""

    name = "minent"
    summary = "minimise the entropy of every anchor on the target (ADVENT appendix A)"
    Options = DetectionMinEntOptions
    options: DetectionMinEntOptions

    def losses(self, source: DetectionBatch, target: DetectionBatch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        yield self.supervised(source)[0]

        output: DetectorOutput = self.network(target.images)
        entropy = box_entropy_loss(self.information(output), reduction=self.options.reduction)
        yield {"entropy": Term(entropy, self.options.entropy_weight)} | self.pseudo_labels(output, target)
