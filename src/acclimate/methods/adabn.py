"""The control every comparison needs: source-only training whose batch-norm statistics see the target.

With the published batch-norm behaviour, forwarding target images moves the running statistics used at evaluation, and
that alone is known to be worth points (a user of AdaptSegNet's code reports 41 % with all adversarial weights at zero
where a clean source-only run gives 36 %). What a method gains over this row is what its loss is worth.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from acclimate.data.sample import Batch
from acclimate.methods.base import Losses, Method, PseudoLabelOptions


class AdaBN(Method):
    """Source-only plus a forward pass of each target batch without any loss: only running statistics notice it."""

    name = "adabn"
    summary = "source-only whose batch-norm statistics also see the target; the control"
    Options = PseudoLabelOptions

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        yield self.supervised(source)[0]
        if target.labels is not None:
            yield self.pseudo_labels(self.target_output(target), target)
            return
        with torch.no_grad():
            self.network(target.images)
