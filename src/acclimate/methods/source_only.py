"""Source-only training: the lower bound every gain is measured from. It never forwards a target image."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.data.sample import Batch
from acclimate.methods.base import Losses, Method, PseudoLabelOptions


class SourceOnly(Method):
    """Cross-entropy on the labelled source (ADVENT eq. 1); with pseudo-labels, plain self-training (ESL eq. 4)."""

    name = "source_only"
    summary = "cross-entropy on the source; the lower bound"
    Options = PseudoLabelOptions
    sees_target = False

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        yield self.supervised(source)[0]
        if target is not None and target.labels is not None:
            yield self.pseudo_labels(self.target_output(target), target)
