"""A mean teacher for detection: its boxes on plain target pictures are learned on strongly changed ones.

Unbiased Teacher (Liu et al. 2021) as it adapts in Adaptive Teacher (Li et al. 2022), with the domain adversary of the
latter as an option.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from acclimate.data.photometric import Photometric, augmented
from acclimate.detection.detector import Detector, DetectorOutput
from acclimate.detection.discriminator import FeatureDiscriminator
from acclimate.detection.methods.base import DetectionMethod, DetectionOptions, DetectionSetting
from acclimate.detection.sample import DetectionBatch
from acclimate.detection.teaching import ClassThresholds, PseudoBoxes, erased, pseudo_boxes, seen_boxes
from acclimate.losses import domain_loss
from acclimate.methods.optimizers import discriminator_optimizer
from acclimate.methods.teacher import Average, AverageOptions
from acclimate.methods.trainable import Losses, Term, figure


class DetectionMeanTeacherOptions(DetectionOptions):
    """Settings of the mean teacher.

    Attributes:
        teacher: how it follows the student, see :class:`acclimate.methods.teacher.AverageOptions`. It is what is kept.
        pseudo_label_weight: of the classification loss on pseudo-labels.
        pseudo_localisation_weight: of their boxes' smooth L1. Unbiased Teacher has 0: a score does not say how well a
            box lies.
        thresholds: ``as-source``: each class's own, which lets ``share`` as many boxes per image pass as the source has
            objects of it (LabelMatch); ``fixed``: ``threshold`` for all (Unbiased Teacher 0.7, Adaptive Teacher 0.8).
        threshold: the score from which a box is a label where thresholds are ``fixed``, else the least that they fall
            to.
        share: of the source's objects.
        spared: the next boxes, up to this multiple of the source's objects, may be objects: their priors are not
            learned as background. Not where thresholds are ``fixed``.
        strong: how the student's pictures are changed in colour and blurred; null: not at all.
        erased: grey rectangles in each of the student's pictures; what they hide by more than half is no label.
        adversarial_weight: of the domain adversary on the finest features; 0: there is none.
        discriminator_width: channels of the adversary's first convolution.
    """

    teacher: AverageOptions = AverageOptions()
    pseudo_label_weight: NonNegativeFloat = 1.0
    pseudo_localisation_weight: NonNegativeFloat = 0.0
    thresholds: Literal["as-source", "fixed"] = "as-source"
    threshold: float = Field(default=0.1, ge=0.0, le=1.0)
    share: NonNegativeFloat = 0.7
    spared: NonNegativeFloat = 2.0
    strong: Photometric | None = Photometric(
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        probability=0.8,
        greyscale_probability=0.2,
        blur_probability=0.5,
    )
    erased: NonNegativeInt = 3
    adversarial_weight: NonNegativeFloat = 0.0
    discriminator_width: PositiveInt = 64


class DetectionMeanTeacher(DetectionMethod):
    """The detector's loss on the source, and on strongly changed target pictures against the boxes of the teacher."""

    name = "mean_teacher"
    summary = "boxes of a mean teacher, learned on strongly changed target pictures (Unbiased and Adaptive Teacher)"
    Options = DetectionMeanTeacherOptions
    takes_pseudo_labels = False
    options: DetectionMeanTeacherOptions

    def __init__(self, network: Detector, *, options: DetectionMeanTeacherOptions, setting: DetectionSetting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.teacher = Average(network, options.teacher)
        self.thresholds = ClassThresholds(network.classes, least=options.threshold)
        self.discriminator: FeatureDiscriminator | None = None
        if options.adversarial_weight > 0:
            self.discriminator = FeatureDiscriminator(network.channels, width=options.discriminator_width)
            self.optimizers["discriminator"] = discriminator_optimizer([self.discriminator], setting.optimizer)

    def result(self) -> nn.Module:
        """The teacher."""
        return self.teacher.network

    def after_step(self, step: int) -> None:
        self.teacher.follow(self.network, step)

    def averaged_buffers(self) -> list[Tensor]:
        return [self.thresholds.scores, self.thresholds.expected]

    def losses(self, source: DetectionBatch, target: DetectionBatch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        terms, output = self.supervised(source)
        source_features = output.features[0].detach()
        del output
        yield terms
        del terms

        labels = self.labels(source, target)
        images, covered = self.strong_view(target.images)
        labels = seen_boxes(labels, covered)
        output = self.network(images)
        target_features = output.features[0].detach()
        yield self.target_losses(output, labels)
        del output

        if self.discriminator is None:
            return
        told = domain_loss(self.discriminator(source_features), "source", kind="vanilla")
        yield {"discriminator on source": Term(told, 0.5, "discriminator")}
        told = domain_loss(self.discriminator(target_features), "target", kind="vanilla")
        yield {"discriminator on target": Term(told, 0.5, "discriminator")}

    @torch.no_grad()
    def labels(self, source: DetectionBatch, target: DetectionBatch) -> PseudoBoxes:
        """The teacher's boxes on the target's pictures as they are."""
        assert source.boxes is not None
        teacher: Detector = self.teacher.network  # type: ignore[assignment]
        size = (target.images.shape[-2], target.images.shape[-1])
        found = teacher.detections(teacher(target.images), size)
        if self.options.thresholds == "fixed":
            fixed = torch.full((teacher.classes,), self.options.threshold)
            return pseudo_boxes(found, fixed, uncertain=fixed)
        self.thresholds.see(source.boxes, found)
        passing = self.thresholds.passing
        return pseudo_boxes(found, passing(self.options.share), uncertain=passing(self.options.spared))

    def strong_view(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The target's pictures as the student sees them, and (B, H, W) where it sees nothing of them."""
        changed = augmented(images, self.options.strong)
        rng = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
        return erased(changed, self.options.erased, rng)

    def target_losses(self, output: DetectorOutput, labels: PseudoBoxes) -> Losses:
        """Against the pseudo-labels, and of passing for the source where there is an adversary."""
        options = self.options
        losses = self.network.loss(output, labels.kept, spared=labels.uncertain)
        terms: Losses = {"pseudo-labels": Term(losses["classification"], options.pseudo_label_weight)}
        if options.pseudo_localisation_weight > 0:
            terms["pseudo-boxes"] = Term(losses["localisation"], options.pseudo_localisation_weight)
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            fooled = domain_loss(self.discriminator(output.features[0]), "source", kind="vanilla")
            self.discriminator.requires_grad_(True)
            terms["adversarial"] = Term(fooled, options.adversarial_weight, "adversarial")
        for name, boxes in (("labels per picture", labels.kept), ("spared per picture", labels.uncertain)):
            terms[name] = figure(torch.tensor(sum(map(len, boxes)) / len(boxes)))
        return terms
