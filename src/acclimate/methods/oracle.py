"""The oracle: fully supervised on the labelled target training images, the upper bound of what adaptation can reach."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.data.sample import Batch
from acclimate.methods.base import Losses, Method


class Oracle(Method):
    """Cross-entropy on the target's training labels. The batch named ``source`` holds target images here."""

    name = "oracle"
    summary = "cross-entropy on the labelled target; the upper bound"
    trains_on = "target"
    sees_target = False

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        yield self.supervised(source)[0]
