"""The mean teacher: a moving average of the network whose predictions on the target are the labels the network learns.

Tarvainen and Valpola's average as DACS, DAFormer, HRDA, MIC and VFM-UDA use it for segmentation, and Unbiased and
Adaptive Teacher for detection.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import Self

from acclimate.models.network import Output, SegmentationNetwork
from acclimate.models.resize import upsample
from acclimate.models.sharded import local


class Margins(BaseModel):
    """Rims of the target's images whose pseudo-labels are not trusted (the ego car, what rectification left), in
    per cent of the height (top, bottom) and of the width (left, right)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: float = Field(default=0.0, ge=0, le=100)
    bottom: float = Field(default=0.0, ge=0, le=100)
    left: float = Field(default=0.0, ge=0, le=100)
    right: float = Field(default=0.0, ge=0, le=100)

    def inside(self, height: int, width: int) -> Tensor:
        """(height, width) of booleans: True where pseudo-labels count."""
        rows, columns = torch.zeros(height, dtype=torch.bool), torch.zeros(width, dtype=torch.bool)
        rows[round(height * self.top / 100) : height - round(height * self.bottom / 100)] = True
        columns[round(width * self.left / 100) : width - round(width * self.right / 100)] = True
        return rows[:, None] & columns[None, :]


class AverageOptions(BaseModel):
    """How a moving average follows its student.

    Attributes:
        decay: alpha of the moving average, at most; 0.99 in DACS, 0.999 (a memory of a thousand steps) in DAFormer and
            later, for 40,000 steps. Short trainings need less: 0.97 to 0.99 for a few hundred.
        ramp: alpha is min(1 - 1 / (step + 1), decay): a plain mean of all steps until it reaches ``decay``.
        average_buffers: running statistics are averaged too (VFM-UDA's first version), instead of being the teacher's
            own.
        batch_norm: ``batch``: the teacher normalises with the target batch's own statistics, which adapts it for free;
            ``average``: with running statistics, which ``average_buffers`` then follow the student's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decay: float = Field(default=0.999, ge=0.0, lt=1.0)
    ramp: bool = True
    average_buffers: bool = False
    batch_norm: Literal["batch", "average"] = "batch"


class TeacherOptions(AverageOptions):
    """How a teacher of segmentation follows its student, and how far its labels are trusted.

    Attributes:
        flip: labels are the mean of the prediction and of the mirrored one for the mirrored image (VFM-UDA).
        threshold: the confidence from which a pixel counts as sure (0.968 published, for networks that are confident
            after 40,000 steps; small ones and short trainings need about 0.9).
        confidence: how the share of sure pixels weighs the loss: one weight per ``batch`` (as published), per
            ``image``, or 0 and 1 per ``pixel``; ``none``: every pixel counts fully.
        margins: see :class:`Margins`; none as a default, Cityscapes' are 15 and 120 of 512 rows.
        result: which of the two is the adapted model: the ``student`` (as published), whose running statistics saw
            source, mixed and masked pictures, or the ``teacher``, whose own ones saw the target as it is.
    """

    flip: bool = False
    threshold: float = Field(default=0.968, ge=0.0, le=1.0)
    confidence: Literal["batch", "image", "pixel", "none"] = "batch"
    margins: Margins = Margins()
    result: Literal["student", "teacher"] = "student"


class PseudoLabels(NamedTuple):
    """What a teacher says about target images.

    Attributes:
        labels: (B, H, W) int64, the most probable class of every pixel.
        weights: (B, H, W) in [0, 1], how much each pixel's loss counts; 0 in the margins.
        probability: (B, H, W) of the label.
        kept_share: scalar, the share of pixels above the threshold.
    """

    labels: Tensor
    weights: Tensor
    probability: Tensor
    kept_share: Tensor


class Average(nn.Module):
    """A copy of a network, of any task, that follows it as a moving average of its weights and is never trained itself.

    Its weights are part of the method's state; how far the average has come follows from the step number alone, so that
    a resumed training goes on exactly.
    """

    def __init__(self, student: nn.Module, options: AverageOptions) -> None:
        super().__init__()
        self.options = options
        self.network = deepcopy(student).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Whatever the mode: batch norm as the options say, all else (dropout, stochastic depth) as in evaluation."""
        self.training = mode
        self.network.train(self.options.batch_norm == "batch")
        for module in self.network.modules():
            if not isinstance(module, _BatchNorm):
                module.training = False
        return self

    @torch.no_grad()
    def follow(self, student: nn.Module, step: int) -> None:
        """Moves the average towards the student after its step number ``step`` (from 0).

        Before the first step both are equal, so the average is over the student's states after its steps.
        """
        alpha = self.options.decay
        if self.options.ramp:
            alpha = min(1.0 - 1.0 / (step + 1), alpha)
        own, theirs = local(self.network.parameters()), local(student.parameters())
        torch._foreach_lerp_(own, theirs, 1.0 - alpha)
        if self.options.average_buffers:
            for mine, other in zip(self.network.buffers(), student.buffers(), strict=True):
                if mine.is_floating_point():
                    mine.lerp_(other, 1.0 - alpha)
                else:
                    mine.copy_(other)


class Teacher(Average):
    """The moving average of a segmentation network, and what it says of target images."""

    options: TeacherOptions
    network: SegmentationNetwork

    def __init__(self, student: SegmentationNetwork, options: TeacherOptions) -> None:
        super().__init__(student, options)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """(B, C, H, W): softmax of the logits enlarged to the images' size (enlarged before the softmax)."""
        size = (images.shape[-2], images.shape[-1])
        output: Output = self.network(images)
        probabilities = upsample(output.logits, size).softmax(dim=1)
        if self.options.flip:
            mirrored: Output = self.network(images.flip(3))
            probabilities = (probabilities + upsample(mirrored.logits, size).softmax(dim=1).flip(3)) / 2
        return probabilities

    @torch.no_grad()
    def pseudo_labels(self, images: Tensor) -> PseudoLabels:
        """Labels of clean target images and how much each pixel's loss counts."""
        return weighed(self.probabilities(images), self.options)


def weighed(probabilities: Tensor, options: TeacherOptions) -> PseudoLabels:
    """Labels, weights and the kept share of (B, C, H, W) probabilities."""
    probability, labels = probabilities.max(dim=1)
    sure = (probability >= options.threshold).to(probability.dtype)
    if options.confidence == "batch":
        weights = sure.mean().expand_as(sure)
    elif options.confidence == "image":
        weights = sure.mean(dim=(1, 2), keepdim=True).expand_as(sure)
    elif options.confidence == "pixel":
        weights = sure
    else:
        weights = torch.ones_like(sure)
    if options.margins != Margins():
        inside = options.margins.inside(labels.shape[-2], labels.shape[-1])
        weights = weights * inside.to(weights.device, non_blocking=True)
    return PseudoLabels(labels, weights, probability, sure.mean())
