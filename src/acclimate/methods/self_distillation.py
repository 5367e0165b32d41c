"""Self-distillation: a network trained on a teacher's pseudo-labels of the target alone (FADA, third stage)."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.data.sample import Batch
from acclimate.methods.base import Losses, Method


class SelfDistillation(Method):
    """Cross-entropy on the target's pseudo-labels alone; the source is not seen again.

    FADA labels every pixel with the teacher's most probable class, without a threshold (the ``label`` stage keeps a
    portion of 1), and trains from the network's initial weights. The batch named ``source`` holds pseudo-labelled
    target images here.
    """

    name = "self_distillation"
    summary = "cross-entropy on pseudo-labels of the target alone (FADA, third stage)"
    trains_on = "pseudo-labels"
    sees_target = False

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        yield self.supervised(source)[0]
