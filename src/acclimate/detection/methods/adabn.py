"""The control of detection: source-only training whose batch-norm statistics see the target, too."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from acclimate.detection.methods.base import DetectionMethod, DetectionPseudoLabelOptions
from acclimate.detection.sample import DetectionBatch
from acclimate.methods.trainable import Losses


class DetectionAdaBN(DetectionMethod):
    """The detector's loss on the source and a forward pass of each target batch without any loss.

    Only running statistics notice the target; a detector without any that move (``light-ssd``, or torchvision's with
    their ``FrozenBatchNorm2d``) learns what source-only does. With pseudo-labels the target's loss is theirs.
    """

    name = "adabn"
    summary = "source-only whose batch-norm statistics also see the target; the control"
    Options = DetectionPseudoLabelOptions

    def losses(self, source: DetectionBatch, target: DetectionBatch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        yield self.supervised(source)[0]
        if target.boxes is not None:
            yield self.pseudo_labels(self.network(target.images), target)
            return
        with torch.no_grad():
            self.network(target.images)
