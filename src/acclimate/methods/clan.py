"""CLAN: an adversary that presses hardest where two heads disagree (Luo et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from acclimate.data.sample import Batch
from acclimate.errors import UserError
from acclimate.losses import domain_loss, focal_loss, prediction_discrepancy
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Term
from acclimate.methods.optimizers import discriminator_optimizer
from acclimate.models.discriminator import OutputDiscriminator
from acclimate.models.network import MAIN, Output, SegmentationNetwork
from acclimate.models.resize import upsample
from acclimate.models.twin_heads import TwinHead
from acclimate.precision import full_precision


class ClanOptions(AdaptingOptions):
    """Settings of CLAN.

    Attributes:
        adversarial_weight: lambda_adv (0.001).
        head_weight: effective weight of 1 + cos of the heads' weights: the authors' lambda_w of 0.01 times the 2 of
            their code.
        local_weight: lambda_local of the discrepancy in a pixel's weight: 40 for GTA5, 10 for SYNTHIA.
        least_weight: epsilon, what a pixel weighs where both heads agree (0.4).
        focal_gamma: of the supervised loss: the code's "cross-entropy" is a focal loss with 2; 0 is the text's.
        damping: both weights fall linearly to 0 over the training.
        even_share: share of the training in which every pixel weighs the same (the first 20th).
        detach_discrepancy: no gradient through the pixels' weights; the code has one in the network's loss.
        discriminator_width: channels of the discriminator's first convolution (64).
    """

    adversarial_weight: NonNegativeFloat = 0.001
    head_weight: NonNegativeFloat = 0.02
    local_weight: NonNegativeFloat = 40.0
    least_weight: NonNegativeFloat = 0.4
    focal_gamma: NonNegativeFloat = 2.0
    damping: bool = True
    even_share: float = Field(default=0.05, ge=0.0, le=1.0)
    detach_discrepancy: bool = False
    discriminator_width: PositiveInt = 64


class Clan(Method):
    """AdaptSegNet on the sum of two heads, each pixel weighted by epsilon + lambda_local (1 - cos(p1, p2)).

    The heads are kept apart by the cosine of their weights. The network has to have them: ``twin_heads: true``.
    """

    name = "clan"
    summary = "an adversary weighted by how much two heads disagree (CLAN)"
    smallest_input = 32  # five strided convolutions leave one position of it
    network_options = MappingProxyType({"twin_heads": True})
    Options = ClanOptions
    options: ClanOptions

    def __init__(self, network: SegmentationNetwork, *, options: ClanOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        if not isinstance(network.heads()[-1], TwinHead):
            raise UserError("clan compares two heads; set network.twin_heads=true")
        self.discriminator = OutputDiscriminator(network.classes, width=options.discriminator_width)
        self.optimizers["discriminators"] = discriminator_optimizer([self.discriminator], setting.optimizer)

    @property
    def head(self) -> TwinHead:
        """The network's two heads."""
        head = self.network.heads()[-1]
        assert isinstance(head, TwinHead)
        return head

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options, steps = self.options, self.setting.steps
        left = max(0.0, 1 - step / steps) if options.damping else 1.0

        terms, seen_of_source = self._source_losses(source)
        yield terms
        del terms

        output, parts = self._passed(target.images, (target.images.shape[-2], target.images.shape[-1]))
        weights: Tensor | None = None
        if step > options.even_share * steps:
            weights = options.least_weight + options.local_weight * prediction_discrepancy(*parts)
        seen_of_target = full_precision(output.logits).softmax(dim=1)
        self.discriminator.requires_grad_(False)
        pressing = weights.detach() if weights is not None and options.detach_discrepancy else weights
        adversarial = domain_loss(self._judged(seen_of_target), "source", weights=pressing)
        self.discriminator.requires_grad_(True)
        likeness = functional.cosine_similarity(*self.head.parameter_vectors(), dim=0)
        terms = {
            "adversarial": Term(adversarial, options.adversarial_weight * left, "adversarial"),
            "heads": Term(1 + likeness, options.head_weight * left),
        }
        terms |= self.class_prior(output) | self.pseudo_labels(output, target)
        seen_of_target, weights = seen_of_target.detach(), None if weights is None else weights.detach()
        del output, parts, pressing, adversarial, likeness
        yield terms
        del terms

        on_source = domain_loss(self._judged(seen_of_source), "source")
        on_target = domain_loss(self._judged(seen_of_target), "target", weights=weights)
        yield {
            "discriminator on source": Term(on_source, 1.0, "discriminator"),
            "discriminator on target": Term(on_target, 1.0, "discriminator"),
        }

    def _source_losses(self, source: Batch) -> tuple[Losses, Tensor]:
        """The focal loss of each head, and the probabilities of their sum for the discriminator, without a graph."""
        assert source.labels is not None
        gamma = self.options.focal_gamma
        output, parts = self._passed(source.images, (source.labels.shape[-2], source.labels.shape[-1]))
        terms: Losses = {}
        for which, logits in zip(("first", "second"), parts, strict=True):
            loss = focal_loss(logits, source.labels, gamma=gamma)
            terms[f"segmentation, {which} head"] = Term(loss, 1.0, "supervised")
        for name, level in output.levels.items():
            if name != MAIN and self.options.auxiliary_weight > 0:
                loss = focal_loss(level.logits, source.labels, gamma=gamma)
                terms[f"{name} segmentation"] = Term(loss, self.options.auxiliary_weight, "supervised")
        return terms, full_precision(output.logits.detach()).softmax(dim=1)

    def _passed(self, images: Tensor, size: tuple[int, int]) -> tuple[Output, tuple[Tensor, Tensor]]:
        """The network's output and each head's part of it, all enlarged."""
        small: Output = self.network(images)
        height, width = small.logits.shape[-2:]
        first, second = (upsample(part[..., :height, :width], size) for part in self.head.taken_parts())
        return small.with_logits(lambda level: upsample(level.logits, level.size_within(size))), (first, second)

    def _judged(self, probabilities: Tensor) -> Tensor:
        """What the discriminator says of every pixel."""
        return upsample(self.discriminator(probabilities), (probabilities.shape[-2], probabilities.shape[-1]))
