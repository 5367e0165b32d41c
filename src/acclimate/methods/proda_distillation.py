"""ProDA's second and third stage: a frozen teacher's hard labels and soft predictions of a strong view (Zhang 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat

from acclimate.data.photometric import PRESETS, Photometric
from acclimate.data.sample import Batch
from acclimate.labels import VOID
from acclimate.losses.distillation import distillation_loss
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Statistic, Term
from acclimate.methods.proda import LABELLING
from acclimate.methods.strong_view import at_places, strong_view
from acclimate.models.network import Level, Output, SegmentationNetwork
from acclimate.models.resize import upsample


class ProdaDistillationOptions(AdaptingOptions):
    """Settings of ProDA's distillations.

    Attributes:
        distillation_weight: of the divergence from the teacher (1; the loss is a mean over places and classes).
        student: what the student begins with: the weights of its ``start``, as its teacher does (third stage), or its
            ``initial`` ones, before any training (second stage).
        logarithm: false: the divergence as the authors' code has it, without the student's logarithm.
        strong: colours and blur of the strong view.
        cutout: side of the square hidden in the strong view, as a share of the shorter side.
    """

    distillation_weight: NonNegativeFloat = 1.0
    student: Literal["start", "initial"] = "start"
    logarithm: bool = True
    strong: Photometric | None = Photometric.model_validate(PRESETS["strong"])
    cutout: float = Field(default=1 / 3, ge=0.0, le=1.0)


class ProdaDistillation(Method):
    """L_seg(source), then CE on the pseudo-labels and KL(teacher || student), both on the strong view.

    The teacher is the network that the stage starts from, frozen; it sees the strong view, too. The pseudo-labels are
    those of an earlier label stage, void where the view hides them. The target's losses are taken at a quarter of the
    images' size.
    """

    name = "proda_distillation"
    summary = "a frozen teacher's labels and predictions of a strong view (ProDA, second and third stage)"
    Options = ProdaDistillationOptions
    options: ProdaDistillationOptions

    def __init__(self, network: SegmentationNetwork, *, options: ProdaDistillationOptions, setting: Setting) -> None:
        teacher = deepcopy(network)
        if options.student == "initial":
            network.load_state_dict(setting.initial_network().state_dict())
        super().__init__(network, options=options, setting=setting)
        self.refer_to(LABELLING, teacher)

    @classmethod
    def needs(cls, options: Any) -> frozenset[Statistic]:
        initial: frozenset[Statistic] = frozenset({"initial network"}) if options.student == "initial" else frozenset()
        return super().needs(options) | initial

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options, images = self.options, target.images
        yield self.supervised(source)[0]

        size = (max(1, images.shape[-2] // 4), max(1, images.shape[-1] // 4))
        view = strong_view(
            images, strong=options.strong, cutout=options.cutout, fill=self.network.preprocessing.mean_colour
        )
        with torch.no_grad():
            wanted = upsample(self.references[LABELLING](view.images).logits, size)
        small: Output = self.network(view.images)

        def at_a_quarter(level: Level) -> Level:
            return level._replace(logits=upsample(level.logits, size))

        # levels that cover a part of the image alone have no place among maps of all of it
        output = Output({name: at_a_quarter(each) for name, each in small.levels.items() if each.region is None})
        labels = None
        if target.labels is not None:
            labels = at_places(torch.where(view.visible, view.turned(target.labels), VOID), size)
        loss = distillation_loss(wanted, output.logits, logarithm=options.logarithm)
        terms: Losses = {"distillation": Term(loss, options.distillation_weight)}
        terms |= self.class_prior(output) | self.pseudo_labels(output, Batch(view.images, labels, target.names))
        del small, output, loss
        yield terms
