"""DISE: structure that both domains share, private codes of each, and a translator inside the training (Chang 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from acclimate.data.sample import Batch
from acclimate.io.identity import file_named
from acclimate.losses import domain_loss
from acclimate.losses.translation import least_squares_gan, level_distance, texture_distance
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Term
from acclimate.methods.mixing import paired
from acclimate.methods.optimizers import discriminator_optimizer, remember_initial_rates
from acclimate.methods.trainable import STEP
from acclimate.models.discriminator import OutputDiscriminator
from acclimate.models.dise import (
    ENLARGEMENT,
    PictureDecoder,
    PictureDiscriminator,
    PrivateEncoder,
    RememberingPool,
    with_remembered_stem,
)
from acclimate.models.network import AUXILIARY, MAIN, Output, SegmentationNetwork
from acclimate.models.perceptual import PerceptualVGG19
from acclimate.models.resize import upsample
from acclimate.precision import full_precision

Domain = Literal["source", "target"]
OTHER: dict[Domain, Domain] = {"source": "target", "target": "source"}
NUMBER: dict[Domain, float] = {"source": 0.0, "target": 1.0}
"""What tells the decoder the domain of its picture."""
RECONSTRUCTION_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
STRUCTURE_WEIGHTS = (0.0, 0.0, 0.0, 1 / 4, 1.0)
TEXTURE_LEVELS = 3
_BETAS = (0.5, 0.999)


class DiseOptions(AdaptingOptions):
    """Settings of DISE.

    Attributes:
        adversarial_weight: lambda_adv of the main output: 0.001 for GTA5, twice that for SYNTHIA.
        auxiliary_adversarial_weight: the same of the auxiliary output (0.0002).
        translated_weight: of the cross-entropy on translated source images.
        reconstruction_weight: of the distance of a picture made of its own structure and code from itself (0.5).
        picture_weight: of the least-squares GAN of translated pictures (0.01).
        perceptual_weight: of the distances of a translated picture in structure and in texture (0.05).
        picture_discriminators_every: steps from one step of the pictures' discriminators to the next (5).
        translator_learning_rate: of Adam for private encoders and decoder.
        translator_width: channels of the decoder's last features; the private encoders begin with twice as many.
        perceptual_weights: of VGG-19: ``imagenet`` (torchvision's, downloaded once), the path of a safetensors file, or
            None for random ones.
        perceptual_width: channels of its first level; ImageNet's weights have 64.
        discriminator_width: channels of every discriminator's first convolution (64).
    """

    adversarial_weight: NonNegativeFloat = 0.001
    auxiliary_adversarial_weight: NonNegativeFloat = 0.0002
    translated_weight: NonNegativeFloat = 1.0
    reconstruction_weight: NonNegativeFloat = 0.5
    picture_weight: NonNegativeFloat = 0.01
    perceptual_weight: NonNegativeFloat = 0.05
    picture_discriminators_every: PositiveInt = 5
    translator_learning_rate: PositiveFloat = 0.001
    translator_width: PositiveInt = 32
    perceptual_weights: str | None = file_named(None)
    perceptual_width: PositiveInt = 64
    discriminator_width: PositiveInt = 64


class Dise(Method):
    """AdaptSegNet whose features of the last level are also the structure from which pictures of both domains are made.

    A step: source and target pass through the network; their private codes and structures become four pictures; the
    discriminators of outputs step, and every fifth time those of pictures; then everything else descends together, the
    translated source images with their labels last. Structure and code of both domains are alive at once: that is the
    method, and its memory.
    """

    name = "dise"
    summary = "structure shared by both domains, private codes, and a translator inside the training (DISE)"
    smallest_input = 32  # four strided convolutions and a last one leave one position of it
    Options = DiseOptions
    options: DiseOptions

    def __init__(self, network: SegmentationNetwork, *, options: DiseOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.stem: RememberingPool | None = None
        channels, width = 3, options.translator_width
        if (found := with_remembered_stem(network)) is not None:
            self.stem, channels = found
        self.private = nn.ModuleDict({domain: PrivateEncoder(channels, width=2 * width) for domain in OTHER})
        self.decoder = PictureDecoder(network.feature_channels()[MAIN], width=width)
        self.picture_discriminators = nn.ModuleDict(
            {domain: PictureDiscriminator(width=options.discriminator_width) for domain in OTHER}
        )
        self.output_discriminators = nn.ModuleDict(
            {
                level: OutputDiscriminator(
                    network.classes, width=options.discriminator_width, bias=False, last_stride=1
                )
                for level in (MAIN, AUXILIARY)
                if level in network.levels
            }
        )
        self.refer_to("perceptual", PerceptualVGG19(weights=options.perceptual_weights, width=options.perceptual_width))
        rate = setting.optimizer.discriminator_learning_rate
        self.optimizers |= {
            "translator": _adam([self.private, self.decoder], options.translator_learning_rate),
            "output discriminators": discriminator_optimizer(self.output_discriminators.values(), setting.optimizer),
            "picture discriminators": _adam([self.picture_discriminators], rate),
        }

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options
        terms, output = self.supervised(source, enlarged=True)
        outputs: dict[Domain, Output] = {"source": output}
        codes: dict[Domain, Tensor] = {"source": self._code("source", source.images)}
        outputs["target"] = self.target_output(target)
        codes["target"] = self._code("target", target.images)
        real: dict[Domain, Tensor] = {"source": 2 * source.images - 1, "target": 2 * target.images - 1}
        rebuilt: dict[Domain, Tensor] = {}
        translated: dict[Domain, Tensor] = {}
        for origin, look in OTHER.items():
            rebuilt[origin], translated[look] = self._made_of(origin, outputs[origin], codes, like=real[origin])

        yield self._output_discriminators(outputs)
        if step % options.picture_discriminators_every == 0:
            yield self._picture_discriminators(real, translated)
        yield STEP

        terms |= self._adversarial(outputs["target"]) | self._pictures(real, translated, rebuilt)
        terms |= self.class_prior(outputs["target"]) | self.pseudo_labels(outputs["target"], target)
        images = (translated["target"].detach() + 1) / 2
        del output, outputs, codes, real, translated, rebuilt
        yield terms
        del terms

        if options.translated_weight > 0:
            terms, _ = self.supervised(Batch(images, source.labels, source.names))
            del _
            yield {
                f"translated {name}": Term(term.value, options.translated_weight * term.weight, term.role)
                for name, term in terms.items()
            }

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if self.stem is not None:
            self.stem.forget()

    def _code(self, domain: Domain, images: Tensor) -> Tensor:
        """(B, 8) of images that the network has just seen; where it has no stem, of the images at a quarter."""
        early = functional.avg_pool2d(2 * images - 1, 4) if self.stem is None else self.stem.taken()
        code: Tensor = self.private[domain](early)
        return code

    def _made_of(
        self, origin: Domain, output: Output, codes: dict[Domain, Tensor], *, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) in [-1, 1] of a domain's structure: with the code of its own, and of the other domain.

        Args:
            origin: whose structure it is.
            output: of the network, with the structure.
            codes: of both domains; those of the other one are taken in their order, again from the first if need be.
            like: pictures of the size that is wanted.
        """
        assert output.features is not None
        height, width = like.shape[-2:]
        size = (math.ceil(height / ENLARGEMENT), math.ceil(width / ENLARGEMENT))
        structure = output.features if output.features.shape[-2:] == size else upsample(output.features, size)
        count, looks = len(structure), (origin, OTHER[origin])
        code = torch.cat([paired(codes[look], count) for look in looks])
        numbers = torch.cat([code.new_full((count,), NUMBER[look]) for look in looks])
        made = full_precision(self.decoder(torch.cat([structure, structure]), code, numbers))[..., :height, :width]
        return made[:count], made[count:]

    def _output_discriminators(self, outputs: dict[Domain, Output]) -> Losses:
        return {
            f"discriminator {level} on {domain}": Term(
                domain_loss(discriminator(_probabilities(output.levels[level].logits.detach())), domain),
                0.5,
                "discriminator",
            )
            for domain, output in outputs.items()
            for level, discriminator in self.output_discriminators.items()
        }

    def _picture_discriminators(self, real: dict[Domain, Tensor], translated: dict[Domain, Tensor]) -> Losses:
        return {
            f"discriminator {look} on {what}": Term(
                least_squares_gan(self.picture_discriminators[look](pictures[look].detach()), real=what == "real"),
                0.5,
                "discriminator",
            )
            for what, pictures in (("real", real), ("translated", translated))
            for look in OTHER
        }

    def _adversarial(self, output: Output) -> Losses:
        """The target's predictions against the outputs' discriminators, as if they were source."""
        terms: Losses = {}
        self.output_discriminators.requires_grad_(False)
        for level, discriminator in self.output_discriminators.items():
            weight = self.options.adversarial_weight if level == MAIN else self.options.auxiliary_adversarial_weight
            loss = domain_loss(discriminator(_probabilities(output.levels[level].logits)), "source")
            terms[f"adversarial {level}"] = Term(loss, weight, "adversarial")
        self.output_discriminators.requires_grad_(True)
        return terms

    def _pictures(
        self, real: dict[Domain, Tensor], translated: dict[Domain, Tensor], rebuilt: dict[Domain, Tensor]
    ) -> Losses:
        """What rebuilt and translated pictures cost."""
        options, judge = self.options, self.references["perceptual"]
        with torch.no_grad():
            wanted: dict[Domain, list[Tensor]] = {domain: judge(pictures) for domain, pictures in real.items()}
        terms: Losses = {}
        self.picture_discriminators.requires_grad_(False)
        for origin, look in OTHER.items():
            both = judge(torch.cat([rebuilt[origin], translated[look]]))  # of one size
            own, other = ([maps.chunk(2)[which] for maps in both] for which in (0, 1))
            distance = level_distance(own, wanted[origin], RECONSTRUCTION_WEIGHTS)
            terms[f"reconstruction {origin}"] = Term(distance, options.reconstruction_weight)
            texture = [paired(maps, len(translated[look])) for maps in wanted[look][:TEXTURE_LEVELS]]
            distance = level_distance(other, wanted[origin], STRUCTURE_WEIGHTS)
            distance = distance + texture_distance(other[:TEXTURE_LEVELS], texture)
            terms[f"perceptual {look}"] = Term(distance, options.perceptual_weight)
            loss = least_squares_gan(self.picture_discriminators[look](translated[look]), real=True)
            terms[f"adversarial pictures {look}"] = Term(loss, options.picture_weight, "adversarial")
        self.picture_discriminators.requires_grad_(True)
        return terms


def _probabilities(logits: Tensor) -> Tensor:
    return full_precision(logits).softmax(dim=1)


def _adam(modules: Iterable[nn.Module], learning_rate: float) -> torch.optim.Optimizer:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return remember_initial_rates(torch.optim.Adam(parameters, lr=learning_rate, betas=_BETAS))
