"""FDA: the source in the target's light and colours, by their lowest frequencies, and robust entropy (Yang 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from acclimate.data.sample import Batch
from acclimate.data.spectrum import with_low_amplitudes_of
from acclimate.losses import robust_entropy_loss
from acclimate.methods.base import AdaptingOptions, Losses, Method, Term
from acclimate.methods.mixing import paired


class FdaOptions(AdaptingOptions):
    """Settings of FDA.

    Attributes:
        band: L, the half width of the exchanged frequencies as a share of a side; the paper's three networks have 0.01,
            0.05 and 0.09.
        band_of: whether both axes exchange frequencies up to L times the ``shorter`` side, as the code does, or
            ``each`` up to L times its own, as the text says.
        entropy_weight: of the target's robust entropy (0.005).
        entropy_power: eta of rho(E) = (E^2 + epsilon^2)^eta (2).
        entropy_epsilon: epsilon: 1e-4 in the code, 1e-3 in the text.
        entropy_from: the step at which the entropy begins: 0 in the authors' command, 50,000 by their code's default.
    """

    band: float = Field(default=0.01, ge=0.0, lt=0.5)
    band_of: Literal["shorter", "each"] = "shorter"
    entropy_weight: NonNegativeFloat = 0.005
    entropy_power: PositiveFloat = 2.0
    entropy_epsilon: NonNegativeFloat = 1e-4
    entropy_from: NonNegativeInt = 0


class Fda(Method):
    """L = CE(f(x_s with the target's low amplitudes), y_s) + lambda rho(entropy of f(x_t)).

    The target image that lends its amplitudes is the one whose entropy is minimised, as in the authors' code. Entropy
    is that of the network's own resolution.
    """

    name = "fda"
    summary = "the source with the target's lowest frequencies, and robust entropy (FDA)"
    Options = FdaOptions
    options: FdaOptions

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options
        restyled = with_low_amplitudes_of(
            source.images,
            paired(target.images, len(source.images)),
            band=options.band,
            shorter_side=options.band_of == "shorter",
        )
        yield self.supervised(Batch(restyled, source.labels, source.names))[0]

        small = self.network(target.images)
        terms: Losses = {}
        if step >= options.entropy_from:
            entropy = robust_entropy_loss(small.logits, power=options.entropy_power, epsilon=options.entropy_epsilon)
            terms["robust entropy"] = Term(entropy, options.entropy_weight)
        output = self.at_images(small, target)
        yield terms | self.class_prior(output) | self.pseudo_labels(output, target)
