"""AdvEnt for detection: a discriminator on the stacked self-information maps of all anchors (ADVENT appendix A)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from acclimate.detection.detector import Detector, DetectorOutput
from acclimate.detection.discriminator import MapDiscriminator
from acclimate.detection.losses import Padding, stacked_maps
from acclimate.detection.methods.base import DetectionAdaptingOptions, DetectionSetting, EntropyMethod
from acclimate.detection.sample import DetectionBatch
from acclimate.losses import domain_loss
from acclimate.losses.adversarial import AdversarialLoss
from acclimate.methods.optimizers import discriminator_optimizer
from acclimate.methods.trainable import Losses, Term


class DetectionAdvEntOptions(DetectionAdaptingOptions):
    """Settings of AdvEnt for detection; the paper gives none of them, the defaults are those of segmentation.

    Attributes:
        adversarial_weight: lambda_adv.
        adversarial_loss: ``vanilla`` or ``least-squares``.
        padding: where maps of lower resolution lie in the largest: ``corner`` or ``centred``.
        discriminator_width: channels of the discriminator's first convolution.
        discriminator_layers: its convolutions of stride 2; 5 as in segmentation need a largest map of 32x32 or more.
    """

    adversarial_weight: NonNegativeFloat = 0.001
    adversarial_loss: AdversarialLoss = "vanilla"
    padding: Padding = "corner"
    discriminator_width: PositiveInt = 64
    discriminator_layers: int = Field(default=5, ge=1, le=5)


class DetectionAdvEnt(EntropyMethod):
    """Min-max game between the detector and a discriminator of its self-information maps.

    The order of a step is that of segmentation: the source's loss; the target's maps scored as if they were source,
    through a fixed discriminator; then the discriminator on detached maps of both, each half divided by two.
    """

    name = "advent"
    summary = "adversarial entropy minimisation on stacked, zero-padded self-information maps (ADVENT appendix A)"
    Options = DetectionAdvEntOptions
    options: DetectionAdvEntOptions

    def __init__(self, network: Detector, *, options: DetectionAdvEntOptions, setting: DetectionSetting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.discriminator = MapDiscriminator(
            self.information_channels * sum(network.anchors_per_cell),
            width=options.discriminator_width,
            layers=options.discriminator_layers,
        )
        self.optimizers["discriminator"] = discriminator_optimizer([self.discriminator], setting.optimizer)

    def discriminator_input(self, output: DetectorOutput) -> Tensor:
        """(B, channels, h, w): the self-information of all anchors, stacked and zero-padded."""
        return stacked_maps(self.information(output), output.maps, padding=self.options.padding)

    def losses(self, source: DetectionBatch, target: DetectionBatch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        kind = self.options.adversarial_loss

        terms, output = self.supervised(source)
        source_maps = self.discriminator_input(output).detach()
        del output
        yield terms
        del terms

        output = self.network(target.images)
        maps = self.discriminator_input(output)
        self.discriminator.requires_grad_(False)
        fooled = domain_loss(self.discriminator(maps), "source", kind=kind)
        self.discriminator.requires_grad_(True)
        maps = maps.detach()
        terms = {"adversarial": Term(fooled, self.options.adversarial_weight, "adversarial")}
        terms |= self.pseudo_labels(output, target)
        del fooled, output
        yield terms
        del terms

        yield {
            "discriminator on source": Term(
                domain_loss(self.discriminator(source_maps), "source", kind=kind), 0.5, "discriminator"
            )
        }
        yield {
            "discriminator on target": Term(
                domain_loss(self.discriminator(maps), "target", kind=kind), 0.5, "discriminator"
            )
        }
