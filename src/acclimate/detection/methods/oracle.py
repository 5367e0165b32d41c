"""The detection oracle: fully supervised on the target's own boxes."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.detection.methods.base import DetectionMethod
from acclimate.detection.sample import DetectionBatch
from acclimate.methods.trainable import Losses


class DetectionOracle(DetectionMethod):
    """The detector's loss on the target's boxes. The batch named ``source`` holds target images here."""

    name = "oracle"
    summary = "the detector's loss on the target's own boxes; the upper bound"
    trains_on = "target"
    sees_target = False

    def losses(self, source: DetectionBatch, target: DetectionBatch | None, step: int) -> Iterator[Losses]:
        yield self.supervised(source)[0]
