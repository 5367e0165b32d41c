"""MinEnt: direct entropy minimisation (ADVENT section 3.1), with the entropy range of section 4.2 as an option."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, NonNegativeFloat

from acclimate.data.sample import Batch
from acclimate.losses import entropy_loss
from acclimate.methods.base import AdaptingOptions, Losses, Method, Term
from acclimate.models.network import AUXILIARY


class MinEntOptions(AdaptingOptions):
    """Settings of MinEnt.

    Attributes:
        entropy_weight: lambda_ent of the main output (0.001, and it belongs to the mean over pixels).
        auxiliary_entropy_weight: the same for the auxiliary output (0.0002 in the authors' code).
        entropy_range: fraction of each image's pixels, those of highest entropy, that are minimised. 1 is plain
            MinEnt; 0.3 is the paper's "MinEnt + ER". The paper does not say over which pixels the loss is averaged
            nor at which outputs: here over the selected ones, at both.
    """

    entropy_weight: NonNegativeFloat = 0.001
    auxiliary_entropy_weight: NonNegativeFloat = 0.0002
    entropy_range: float = Field(default=1.0, gt=0.0, le=1.0)


class MinEnt(Method):
    """L_seg(source) + lambda_ent * L_ent(target) (ADVENT eq. 4)."""

    name = "minent"
    summary = "minimise the entropy of target predictions (ADVENT section 3.1)"
    Options = MinEntOptions
    options: MinEntOptions

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options

        yield self.supervised(source)[0]  # eq. 1

        output = self.target_output(target)
        entropy = entropy_loss(output.logits, highest=options.entropy_range)  # eq. 2-3
        terms: Losses = {"entropy": Term(entropy, options.entropy_weight)}
        if AUXILIARY in output.levels and options.auxiliary_entropy_weight > 0:
            auxiliary = entropy_loss(output.levels[AUXILIARY].logits, highest=options.entropy_range)
            terms["auxiliary entropy"] = Term(auxiliary, options.auxiliary_entropy_weight)
        yield terms | self.class_prior(output) | self.pseudo_labels(output, target)
