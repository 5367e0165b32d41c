"""AdvEnt: adversarial entropy minimisation (ADVENT section 3.2)."""

from __future__ import annotations

from torch import Tensor

from acclimate.losses import weighted_self_information
from acclimate.methods.output_adversary import OutputAdversary


class AdvEnt(OutputAdversary):
    """The discriminators see the weighted self-information I = -P log P (ADVENT eq. 7-9).

    Minimised against the discriminator, the target's maps come to look like the source's, whose entropy is low.
    """

    name = "advent"
    summary = "adversarial entropy minimisation: discriminators on weighted self-information (ADVENT section 3.2)"

    def discriminator_input(self, logits: Tensor) -> Tensor:
        return weighted_self_information(logits)
