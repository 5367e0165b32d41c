"""Source-only training of a detector: the lower bound. Without pseudo-labels it never forwards a target image."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.detection.methods.base import DetectionMethod, DetectionPseudoLabelOptions
from acclimate.detection.sample import DetectionBatch
from acclimate.methods.trainable import Losses


class DetectionSourceOnly(DetectionMethod):
    """The detector's loss on the source; with pseudo-labels, plain self-training."""

    name = "source_only"
    summary = "the detector's loss on the source; the lower bound"
    Options = DetectionPseudoLabelOptions
    sees_target = False

    def losses(self, source: DetectionBatch, target: DetectionBatch | None, step: int) -> Iterator[Losses]:
        yield self.supervised(source)[0]
        if target is not None and target.boxes is not None:
            yield self.pseudo_labels(self.network(target.images), target)
