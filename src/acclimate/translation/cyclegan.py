"""CycleGAN with BDL's perceptual terms: two generators, two discriminators, perhaps a frozen segmentation network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.data.sample import Batch
from acclimate.losses.translation import colour_distance, least_squares_gan, perceptual_distance, picture_distance
from acclimate.methods.trainable import Learner, Losses, Term
from acclimate.models.cyclegan import PatchDiscriminator, ResnetGenerator
from acclimate.models.network import SegmentationNetwork
from acclimate.translation.colour import ColourLine
from acclimate.translation.settings import CycleGanOptions

_BETAS = (0.5, 0.999)


class CycleGan(Learner[Batch]):
    """Trains a translator from a source to a target look, and one back, without pairs of pictures.

    A step: both generators, through fixed discriminators (GAN, cycle, identity and perceptual terms); then each
    discriminator on a real picture and one from the pool of translated ones, halved. Discriminators see translations
    made before the generators' step, so stepping all optimisers at the end is the published order.

    Args:
        options: networks and weights.
        learning_rate: of Adam for the generators.
        discriminator_learning_rate: of Adam for the discriminators.
        perceptual: a segmentation network that says what must not change; frozen, and no part of the state.
    """

    def __init__(
        self,
        options: CycleGanOptions,
        *,
        learning_rate: float,
        discriminator_learning_rate: float | None = None,
        perceptual: SegmentationNetwork | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.generators = nn.ModuleDict({"to target": generator_of(options), "to source": generator_of(options)})
        self.discriminators = nn.ModuleDict(
            {
                look: PatchDiscriminator(width=options.discriminator_width, norm=options.discriminator_norm)
                for look in ("target", "source")
            }
        )
        if perceptual is not None:
            self.refer_to("perceptual", perceptual)
        self.pools = {look: ImagePool(options.pool_size) for look in ("target", "source")}
        self.optimizers = {
            "generators": _adam(self.generators, learning_rate),
            "discriminators": _adam(self.discriminators, discriminator_learning_rate or learning_rate),
        }

    def match_colours(self, line: ColourLine) -> None:
        """Lets the generators of the option ``colour_match`` begin with a line per channel, and with its inverse."""
        for look, along in (("to target", line), ("to source", line.inverse())):
            generator = self.generators[look]
            assert isinstance(generator, ResnetGenerator)
            # from levels v of [0, 255] to levels 2 v / 255 - 1
            gain, shift = torch.from_numpy(along.gain), torch.from_numpy(along.shift)
            generator.begin_with(gain, 2 * shift / 255 + gain - 1)

    @property
    def perceptual(self) -> nn.Module | None:
        """The frozen network that says what must not change."""
        return self.references.get("perceptual")

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        real = {"source": 2 * source.images - 1, "target": 2 * target.images - 1}
        fake: dict[str, Tensor] = {}
        for origin, look in (("source", "target"), ("target", "source")):
            # one direction after the other: only its own graph is alive
            terms, fake[look] = self._direction(real[origin], look=look, origin=origin)
            yield terms
            del terms
        for look, discriminator in self.discriminators.items():
            pooled = self.pools[look].exchange(fake[look])
            yield {
                f"discriminator {look} on real": Term(
                    least_squares_gan(discriminator(real[look]), real=True), 0.5, "discriminator"
                ),
                f"discriminator {look} on translated": Term(
                    least_squares_gan(discriminator(pooled), real=False), 0.5, "discriminator"
                ),
            }

    def _direction(self, real: Tensor, *, look: str, origin: str) -> tuple[Losses, Tensor]:
        """The generators' terms that begin with a picture of ``origin``: there, back, and into its own look."""
        there, back = self.generators[f"to {look}"], self.generators[f"to {origin}"]
        assert isinstance(there, ResnetGenerator)
        options = self.options
        self.discriminators.requires_grad_(False)
        translated = there(real)
        returned = back(translated)
        terms: Losses = {
            f"adversarial {look}": Term(
                least_squares_gan(self.discriminators[look](translated), real=True), 1.0, "adversarial"
            ),
            f"cycle {origin}": Term(picture_distance(returned, real), options.cycle_weight),
        }
        if options.identity_weight > 0:
            weight = options.cycle_weight * options.identity_weight
            terms[f"identity {origin}"] = Term(picture_distance(back(real), real), weight)
        if options.colour_weight > 0:
            terms[f"colour {look}"] = Term(colour_distance(translated, there.matched(real)), options.colour_weight)
        if self.perceptual is not None:
            with torch.no_grad():
                wanted = self._seen(real)
            if options.perceptual_weight > 0:
                weight = options.cycle_weight * options.perceptual_weight
                terms[f"perceptual cycle {origin}"] = Term(perceptual_distance(self._seen(returned), wanted), weight)
            if options.perceptual_translation_weight > 0:
                distance = perceptual_distance(self._seen(translated), wanted)
                terms[f"perceptual {look}"] = Term(distance, options.perceptual_translation_weight)
        self.discriminators.requires_grad_(True)
        return terms, translated.detach()

    def _seen(self, pictures: Tensor) -> Tensor:
        assert self.perceptual is not None
        logits: Tensor = self.perceptual((pictures + 1) / 2).logits
        return logits

    def process_state(self) -> dict[str, Any]:
        """The pools: each process remembers translations of its own share of the images."""
        return {"pools": {look: pool.state() for look, pool in self.pools.items()}}

    def load_process_state(self, state: dict[str, Any]) -> None:
        device = next(self.generators.parameters()).device
        for look, pool in self.pools.items():
            pool.restore(state["pools"][look], device)


def generator_of(options: CycleGanOptions) -> ResnetGenerator:
    """An untrained generator with the options' layers."""
    return ResnetGenerator(
        width=options.width,
        blocks=options.blocks,
        upsampling=options.upsampling,
        residual=options.residual,
        colour_match=options.colour_match,
    )


def _adam(modules: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(modules.parameters(), lr=learning_rate, betas=_BETAS)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


class ImagePool:
    """Up to ``size`` translated pictures of earlier steps (Shrivastava et al.; CycleGAN, section 4).

    While it is filling up, every picture is kept and returned. Once full, each picture is with probability one half
    exchanged for a random earlier one, which takes its place in the answer; otherwise it is returned and forgotten.
    Random numbers come from torch's global generator, which the loop seeds anew at every step.

    Args:
        size: pictures kept; 0 returns every picture unchanged.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[Tensor] = []

    def exchange(self, pictures: Tensor) -> Tensor:
        """For a batch (B, 3, H, W), detached, one of the same size made of new and earlier pictures."""
        if self.size == 0:
            return pictures.detach()
        return torch.stack([self._exchanged(picture) for picture in pictures.detach()])

    def _exchanged(self, picture: Tensor) -> Tensor:
        if len(self.pictures) < self.size:
            self.pictures.append(picture.clone())
            return picture
        if float(torch.rand(())) <= 0.5:
            return picture
        place = int(torch.randint(self.size, ()))
        earlier, self.pictures[place] = self.pictures[place], picture.clone()
        return earlier

    def state(self) -> list[Tensor]:
        """The pictures kept, in order."""
        return list(self.pictures)

    def restore(self, pictures: list[Tensor], device: torch.device) -> None:
        """Takes up what :meth:`state` returned."""
        self.pictures = [picture.to(device) for picture in pictures]
