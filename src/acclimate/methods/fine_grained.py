"""Class-level adversarial adaptation of features (FADA), with entropy minimisation (Zhao et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from acclimate.data.sample import Batch
from acclimate.losses import Domain, class_domain_loss, class_encoding, entropy_loss
from acclimate.losses.fine_grained import Encoding
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Term
from acclimate.methods.optimizers import discriminator_optimizer
from acclimate.models.discriminator import FineGrainedDiscriminator
from acclimate.models.network import AUXILIARY, MAIN, Output, SegmentationNetwork
from acclimate.models.resize import upsample


class FineGrainedOptions(AdaptingOptions):
    """Settings of the fine-grained adversary; the defaults are FADA's, without entropy.

    Attributes:
        adversarial_weight: lambda_adv of the discriminator on the last features (0.001).
        auxiliary_adversarial_weight: the same for the mid-level features of a multi-level network. Zhao et al. use two
            levels and do not say with which weights; the default is AdaptSegNet's.
        levels: ``all``, a discriminator on the features of every level that the network has; ``last``, one on the last
            features alone.
        encoding: ``soft`` (FADA), ``hard``, or ``binary``: the same discriminator on the same features with two
            outputs, which knows domains but no classes.
        temperature: softens the encoding (1.8).
        temperature_in_losses: divide the logits by the temperature in every loss, as FADA's code does. Predictions made
            at temperature 1 are sharper then: their entropies cannot be compared with other methods'.
        clip: largest entry of a soft encoding (0.9).
        entropy_weight: lambda of Zhao et al. eq. 7, which the paper does not give; 0 leaves the entropy out.
        entropy_placement: ``inside`` the adversarial term (eq. 7-8), which makes the effective weight
            adversarial_weight x entropy_weight; ``outside`` it (eq. 6), weighted by entropy_weight alone.
        entropy_reduction: ``mean`` over pixels, or ``sum`` over the pixels of an image and mean over images, as eq. 5
            is printed; with the sum, useful weights are smaller by the number of pixels.
        discriminator_width: channels of the discriminator's first convolution, halved by its second (256 published).
    """

    adversarial_weight: NonNegativeFloat = 0.001
    auxiliary_adversarial_weight: NonNegativeFloat = 0.0002
    levels: Literal["all", "last"] = "all"
    encoding: Encoding = "soft"
    temperature: PositiveFloat = 1.8
    temperature_in_losses: bool = True
    clip: float = Field(default=0.9, gt=0.0, le=1.0)
    entropy_weight: NonNegativeFloat = 0.0
    entropy_placement: Literal["inside", "outside"] = "inside"
    entropy_reduction: Literal["mean", "sum"] = "mean"
    discriminator_width: int = Field(default=256, ge=2)


class FineGrained(Method):
    """Min-max game between the network and discriminators that tell 2K things apart: K classes of two domains.

    The order of a step is FADA's: source cross-entropy; the target's features scored as if they were source features of
    the same classes, through fixed discriminators, with the target's entropy; then each discriminator on detached
    features of both domains, each half of its loss divided by two. The classes are the network's own main predictions,
    which carry no gradient, so the adversarial loss reaches the features' extractor alone and not the classifier.
    """

    name = "fine_grained"
    summary = "class-level adversarial adaptation of features (FADA), with entropy minimisation (Zhao et al.)"
    Options = FineGrainedOptions
    options: FineGrainedOptions

    def __init__(self, network: SegmentationNetwork, *, options: FineGrainedOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        levels = (MAIN, AUXILIARY) if options.levels == "all" else (MAIN,)
        channels = {level: count for level, count in network.feature_channels().items() if level in levels}
        classes = 1 if options.encoding == "binary" else network.classes
        self.discriminators = nn.ModuleDict(
            {
                level: FineGrainedDiscriminator(count, classes, width=options.discriminator_width)
                for level, count in channels.items()
            }
        )
        self.optimizers["discriminators"] = discriminator_optimizer(self.discriminators.values(), setting.optimizer)

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None

        terms, output = self.supervised(source, enlarged=True)  # Zhao et al. eq. 1
        source_features, source_encoding = self._features(output, detach=True), self._encoding(output)
        del output  # the source's graph is freed by the backward pass that happens at the yield
        yield terms
        del terms

        output = self.target_output(target)
        features, target_encoding = self._features(output, detach=False), self._encoding(output)
        terms = {}
        self.discriminators.requires_grad_(False)
        for level, loss in self._domain_losses(features, target_encoding, "source"):  # eq. 3
            terms[f"adversarial {level}"] = Term(loss, self._adversarial_weight(level), "adversarial")
        self.discriminators.requires_grad_(True)
        terms |= self._entropy(output)
        terms |= self.class_prior(output) | self.pseudo_labels(output, target)
        target_features = {level: values.detach() for level, values in features.items()}
        del output, features
        yield terms
        del terms

        terms = {}
        for level, loss in self._domain_losses(source_features, source_encoding, "source"):  # eq. 2
            terms[f"discriminator {level} on source"] = Term(loss, 0.5, "discriminator")
        for level, loss in self._domain_losses(target_features, target_encoding, "target"):
            terms[f"discriminator {level} on target"] = Term(loss, 0.5, "discriminator")
        yield terms

    def _enlarged(self, images: Tensor, size: tuple[int, int]) -> Output:
        output = super()._enlarged(images, size)
        if not self.options.temperature_in_losses:
            return output
        temperature = self.options.temperature
        return output.with_logits(lambda level: level.logits / temperature)

    def _encoding(self, output: Output) -> Tensor:
        options = self.options
        temperature = 1.0 if options.temperature_in_losses else options.temperature
        return class_encoding(output.logits, options.encoding, temperature=temperature, clip=options.clip)

    def _features(self, output: Output, *, detach: bool) -> dict[str, Tensor]:
        features = {}
        for level in self.discriminators:
            values = output.levels[level].features
            assert values is not None
            features[level] = values.detach() if detach else values
        return features

    def _domain_losses(
        self, features: dict[str, Tensor], encoding: Tensor, domain: Domain
    ) -> Iterator[tuple[str, Tensor]]:
        size = (encoding.shape[-2], encoding.shape[-1])
        for level, discriminator in self.discriminators.items():
            prediction = upsample(discriminator(features[level]), size)
            yield level, class_domain_loss(prediction, encoding, domain)

    def _adversarial_weight(self, level: str) -> float:
        options = self.options
        return options.adversarial_weight if level == "main" else options.auxiliary_adversarial_weight

    def _entropy(self, output: Output) -> Losses:
        """Zhao et al. eq. 5 on the main output; nothing where its weight is 0."""
        options = self.options
        if options.entropy_weight == 0:
            return {}
        weight = options.entropy_weight * (options.adversarial_weight if options.entropy_placement == "inside" else 1.0)
        if options.entropy_reduction == "sum":
            weight *= output.logits.shape[-2] * output.logits.shape[-1]
        return {"entropy": Term(entropy_loss(output.logits), weight)}
