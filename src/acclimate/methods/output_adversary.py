"""What AdaptSegNet and AdvEnt share: a discriminator per output level that tells source from target predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from acclimate.data.sample import Batch
from acclimate.losses import Domain, domain_loss
from acclimate.losses.adversarial import AdversarialLoss
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Term
from acclimate.methods.optimizers import discriminator_optimizer
from acclimate.models.discriminator import OutputDiscriminator
from acclimate.models.network import AUXILIARY, MAIN, Output, SegmentationNetwork


class OutputAdversaryOptions(AdaptingOptions):
    """Settings of the adversarial methods on the output space.

    Attributes:
        adversarial_weight: lambda_adv of the main output (0.001).
        auxiliary_adversarial_weight: lambda_adv of the auxiliary output (0.0002).
        adversarial_loss: ``vanilla`` (binary cross-entropy) or ``least-squares`` (LS-GAN; AdaptSegNet's command for
            it is single-level with weight 0.01).
        discriminator_width: channels of the discriminator's first convolution (64 published).
    """

    adversarial_weight: NonNegativeFloat = 0.001
    auxiliary_adversarial_weight: NonNegativeFloat = 0.0002
    adversarial_loss: AdversarialLoss = "vanilla"
    discriminator_width: PositiveInt = 64


class OutputAdversary(Method):
    """Min-max game between the network and one discriminator per output level.

    The order of a step is the published one: source cross-entropy; the target's predictions scored as if they were
    source, through fixed discriminators; then each discriminator on detached source and target predictions, each half
    of its loss divided by two.
    """

    smallest_input = 32  # five strided convolutions leave one position of it
    Options = OutputAdversaryOptions
    options: OutputAdversaryOptions

    def __init__(self, network: SegmentationNetwork, *, options: OutputAdversaryOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        levels = [level for level in (MAIN, AUXILIARY) if level in network.levels]
        self.discriminators = nn.ModuleDict(
            {level: OutputDiscriminator(network.classes, width=options.discriminator_width) for level in levels}
        )
        self.optimizers["discriminators"] = discriminator_optimizer(self.discriminators.values(), setting.optimizer)

    @abstractmethod
    def discriminator_input(self, logits: Tensor) -> Tensor:
        """What a discriminator sees of the enlarged logits (B, C, H, W), same shape."""

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None

        terms, output = self.supervised(source, enlarged=True)
        source_maps = self._maps(output, detach=True)
        del output  # the source's graph is freed by the backward pass that happens at the yield
        yield terms
        del terms

        output = self.target_output(target)
        maps = self._maps(output, detach=False)
        terms = {}
        self.discriminators.requires_grad_(False)
        for level, loss in self._domain_losses(maps, "source"):
            weight = self.options.adversarial_weight if level == "main" else self.options.auxiliary_adversarial_weight
            terms[f"adversarial {level}"] = Term(loss, weight, "adversarial")
        self.discriminators.requires_grad_(True)
        terms |= self.class_prior(output) | self.pseudo_labels(output, target)
        target_maps = {level: values.detach() for level, values in maps.items()}
        del output, maps
        yield terms
        del terms

        yield {
            f"discriminator {level} on {domain}": Term(loss, 0.5, "discriminator")
            for domain, values in (("source", source_maps), ("target", target_maps))
            for level, loss in self._domain_losses(values, domain)  # type: ignore[arg-type]
        }

    def _maps(self, output: Output, *, detach: bool) -> dict[str, Tensor]:
        maps = {}
        with torch.set_grad_enabled(not detach):
            for level in self.discriminators:
                logits = output.levels[level].logits
                maps[level] = self.discriminator_input(logits.detach() if detach else logits)
        return maps

    def _domain_losses(self, maps: dict[str, Tensor], domain: Domain) -> Iterator[tuple[str, Tensor]]:
        for level, discriminator in self.discriminators.items():
            yield level, domain_loss(discriminator(maps[level]), domain, kind=self.options.adversarial_loss)
