"""ADDA on scores, CyCADA's second half: the network moves only while the discriminator is right often enough."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from acclimate.data.sample import Batch
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Term, figure
from acclimate.methods.optimizers import remember_initial_rates
from acclimate.methods.trainable import STEP
from acclimate.models.discriminator import ScoreDiscriminator
from acclimate.models.network import Output, SegmentationNetwork
from acclimate.precision import full_precision

TARGET, SOURCE = 0, 1
"""The discriminator's two answers, as in the authors' code."""


class AddaOptions(AdaptingOptions):
    """Settings of ADDA as CyCADA has it.

    Attributes:
        adversarial_weight: lambda_g (0.1).
        discriminator_weight: lambda_d (1).
        accuracy_threshold: the discriminator's mean accuracy above which the network is trained (0.6; users lower it to
            0.55 where it never gets there).
        accuracy_window: steps over which that mean is taken (100).
        discriminator_width: channels of the discriminator's first convolution (512).
        discriminator_dropout: of its channels (0.5).
    """

    adversarial_weight: NonNegativeFloat = 0.1
    discriminator_weight: NonNegativeFloat = 1.0
    accuracy_threshold: float = Field(default=0.6, ge=0.0, le=1.0)
    accuracy_window: PositiveInt = 100
    discriminator_width: PositiveInt = 512
    discriminator_dropout: float = Field(default=0.5, ge=0.0, lt=1.0)


class Adda(Method):
    """A step of the discriminator; if it has been right often enough, one on the target and one on the source.

    The discriminator sees logits at the network's own stride, each place by itself, and is optimised as the network is.
    What counts is its accuracy in the steps before, so that several processes decide alike; in the very first step the
    network is trained.
    """

    name = "adda"
    summary = "a discriminator on scores, place by place, gated by its accuracy (ADDA, CyCADA's second half)"
    Options = AddaOptions
    options: AddaOptions

    def __init__(self, network: SegmentationNetwork, *, options: AddaOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.discriminator = ScoreDiscriminator(
            network.classes, width=options.discriminator_width, dropout=options.discriminator_dropout
        )
        settings = setting.optimizer
        self.optimizers["discriminators"] = remember_initial_rates(
            torch.optim.SGD(
                self.discriminator.parameters(),
                lr=settings.learning_rate,
                momentum=settings.momentum,
                weight_decay=settings.weight_decay,
            )
        )
        self.register_buffer("accuracies", torch.zeros(options.accuracy_window))

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options
        trusted = self.trusted(step)
        with torch.no_grad():
            scores = [full_precision(self.network(batch.images).logits) for batch in (source, target)]
        answers = [self.discriminator(each) for each in scores]
        loss, accuracy = _judgement(answers)
        yield {
            "discriminator": Term(loss, options.discriminator_weight, "discriminator"),
            "discriminator accuracy": figure(accuracy),
        }
        del loss, answers, scores
        yield STEP
        with torch.no_grad():
            self.get_buffer("accuracies")[step % options.accuracy_window] = accuracy
        if not trusted:
            return

        small: Output = self.network(target.images)
        self.discriminator.requires_grad_(False)
        answer = self.discriminator(full_precision(small.logits))
        self.discriminator.requires_grad_(True)
        wanted = torch.full_like(answer[:, 0], SOURCE, dtype=torch.long)
        terms = {
            "adversarial": Term(functional.cross_entropy(answer, wanted), options.adversarial_weight, "adversarial")
        }
        output = self.at_images(small, target)
        terms |= self.class_prior(output) | self.pseudo_labels(output, target)
        del small, output, answer
        yield terms
        del terms
        yield STEP

        yield self.supervised(source)[0]

    def averaged_buffers(self) -> list[Tensor]:
        return [self.get_buffer("accuracies")]

    def trusted(self, step: int) -> bool:
        """Whether the discriminator has been right often enough in the steps before ``step``."""
        known = self.get_buffer("accuracies")[: min(step, self.options.accuracy_window)]
        return step == 0 or float(known.mean()) > self.options.accuracy_threshold


def _judgement(answers: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Cross-entropy over all places of both domains together, source first, and the share of right answers."""
    flat = [answer.permute(0, 2, 3, 1).reshape(-1, 2) for answer in answers]
    labels = torch.cat(
        [
            torch.full((len(rows),), domain, device=rows.device)
            for rows, domain in zip(flat, (SOURCE, TARGET), strict=True)
        ]
    )
    together = torch.cat(flat)
    return functional.cross_entropy(together, labels), (together.argmax(dim=1) == labels).float().mean()
