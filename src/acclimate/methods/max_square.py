"""MaxSquare: maximum squares in the place of entropy, balanced by image, with guidance of two levels (Chen 2019)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from acclimate.data.sample import Batch
from acclimate.labels import VOID
from acclimate.losses import cross_entropy, max_square_loss
from acclimate.losses.max_square import Over
from acclimate.methods.base import AdaptingOptions, Losses, Method, Term, figure
from acclimate.methods.trainable import KEPT_SHARE
from acclimate.models.network import AUXILIARY, Output


class MaxSquareOptions(AdaptingOptions):
    """Settings of MaxSquare.

    Attributes:
        max_square_weight: lambda_T (0.1; 0.09 with image weights on two levels).
        image_weights: q of the image-wise class balance (0.2 published); null: every pixel counts the same.
        over: what the loss is divided by: ``pixels and classes`` (the code's mean), or ``pixels``, which makes the same
            weight as many times stronger as there are classes.
        guidance_weight: of the auxiliary output's cross-entropy on what both outputs together predict (0.1 of
            lambda_T published).
        guidance_threshold: the probability that one of them needs for a pixel to count (0.95).
    """

    max_square_weight: NonNegativeFloat = 0.1
    image_weights: float | None = Field(default=None, ge=0.0, le=1.0)
    over: Over = "pixels and classes"
    guidance_weight: NonNegativeFloat = 0.01
    guidance_threshold: float = Field(default=0.95, ge=0.0, le=1.0)


class MaxSquare(Method):
    """L = L_seg(source) + lambda_T L_T(target), and on two levels the guidance of the lower one."""

    name = "max_square"
    summary = "maximise the squares of target probabilities, balanced by image (MaxSquare)"
    Options = MaxSquareOptions
    options: MaxSquareOptions

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options

        yield self.supervised(source)[0]

        output = self.target_output(target)
        loss = max_square_loss(output.logits, image_weights=options.image_weights, over=options.over)
        terms: Losses = {"max square": Term(loss, options.max_square_weight)}
        if AUXILIARY in output.levels and options.guidance_weight > 0:
            terms |= self._guidance(output)
        yield terms | self.class_prior(output) | self.pseudo_labels(output, target)

    def _guidance(self, output: Output) -> Losses:
        """Cross-entropy of the auxiliary output on the class that both outputs' mean makes most probable."""
        lower = output.levels[AUXILIARY].logits
        labels = agreed_labels(output.logits, lower, threshold=self.options.guidance_threshold)
        return {
            "guidance": Term(cross_entropy(lower, labels), self.options.guidance_weight),
            KEPT_SHARE: figure((labels != VOID).float().mean()),
        }


@torch.no_grad()
def agreed_labels(first: Tensor, second: Tensor, *, threshold: float) -> Tensor:
    """(B, H, W) classes of the mean of two predictions, void where neither is surer than ``threshold``.

    Args:
        first, second: logits (B, C, H, W).
    """
    ours, theirs = first.softmax(dim=1), second.softmax(dim=1)
    sure = (ours.amax(dim=1) > threshold) | (theirs.amax(dim=1) > threshold)
    return torch.where(sure, (ours + theirs).argmax(dim=1), VOID)
