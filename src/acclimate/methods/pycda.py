"""PyCDA: the network's own labels of pixels and of boxes, and the source's class frequencies (Lian et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from acclimate.data.sample import Batch
from acclimate.labels import VOID
from acclimate.losses import class_balance_loss, cross_entropy
from acclimate.methods.base import AdaptingOptions, Losses, Method, Statistic, Term, figure
from acclimate.methods.trainable import KEPT_SHARE, STEP
from acclimate.precision import full_precision


class PycdaOptions(AdaptingOptions):
    """Settings of PyCDA.

    Attributes:
        pixel_weight: of the cross-entropy on the pixels' own labels.
        box_weight: of that on the boxes' labels.
        balance_weight: of the distance of the image's mean prediction from the source's class frequencies (0.4 in the
            configuration with a spatial prior).
        box_sizes: sides of the boxes in pixels, whose logits are averaged; boxes do not overlap.
        threshold: probability from which a pixel or a box is labelled.
        step_between: the optimiser steps on the source's losses before the target is seen, as in the authors' code.
    """

    pixel_weight: NonNegativeFloat = 1.0
    box_weight: NonNegativeFloat = 1.0
    balance_weight: NonNegativeFloat = 1.0
    box_sizes: tuple[PositiveInt, ...] = Field(default=(4, 8), min_length=1)
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    step_between: bool = True


class Pycda(Method):
    """L_seg(source), then CE on confident pixels and boxes of the target and the balance of its classes.

    The labels are those of the same pass, of the network itself; nothing else teaches.
    """

    name = "pycda"
    summary = "own labels of confident pixels and boxes, and the source's class frequencies (PyCDA)"
    Options = PycdaOptions
    options: PycdaOptions

    @classmethod
    def needs(cls, options: Any) -> frozenset[Statistic]:
        balanced: frozenset[Statistic] = frozenset({"class ratios"}) if options.balance_weight > 0 else frozenset()
        return super().needs(options) | balanced

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options
        yield self.supervised(source)[0]
        if options.step_between:
            yield STEP

        output = self.target_output(target)
        pixels, kept = own_label_loss([output.logits], threshold=options.threshold)
        boxes, kept_boxes = own_label_loss(
            [functional.avg_pool2d(full_precision(output.logits), size) for size in options.box_sizes],
            threshold=options.threshold,
        )
        terms: Losses = {
            "pixels": Term(pixels, options.pixel_weight),
            "boxes": Term(boxes, options.box_weight),
            KEPT_SHARE: figure(kept),
            "kept share of boxes": figure(kept_boxes),
        }
        if options.balance_weight > 0:
            assert self.setting.class_ratios is not None, "the balance needs the source's class ratios"
            balance = class_balance_loss(output.logits, self.setting.class_ratios)
            terms["balance"] = Term(balance, options.balance_weight)
        yield terms | self.class_prior(output) | self.pseudo_labels(output, target)


def own_label_loss(maps: list[Tensor], *, threshold: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy on a map's own most probable classes where they are surer than ``threshold``, and their share.

    Args:
        maps: logits (B, C, h, w) of any sizes; the mean is over the places of all of them together.
        threshold: a probability.
    """
    sums, kept, places = [], [], 0
    for logits in maps:
        probability, labels = full_precision(logits).detach().softmax(dim=1).max(dim=1)
        labels = torch.where(probability > threshold, labels, VOID)
        sums.append(cross_entropy(logits, labels, over="all") * labels.numel())
        kept.append((labels != VOID).sum())
        places += labels.numel()
    count = torch.stack(kept).sum()
    return torch.stack(sums).sum() / count.clamp(min=1), count / places
