"""AdaptSegNet: adversarial adaptation of the output space, single- or multi-level (facts in docs/methods)."""

from __future__ import annotations

from torch import Tensor

from acclimate.methods.output_adversary import OutputAdversary
from acclimate.precision import full_precision


class AdaptSegNet(OutputAdversary):
    """The discriminators see softmax probabilities (ESL eq. 2-3 restates the objective)."""

    name = "adaptsegnet"
    summary = "adversarial adaptation of the softmax output, one discriminator per level"

    def discriminator_input(self, logits: Tensor) -> Tensor:
        return full_precision(logits).softmax(dim=1)
