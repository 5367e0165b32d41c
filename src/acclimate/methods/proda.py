"""ProDA: a source model's soft labels, corrected by the classes' prototypes while the network learns (Zhang 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from acclimate.data.photometric import PRESETS, Photometric
from acclimate.data.sample import Batch
from acclimate.losses import cross_entropy
from acclimate.losses.confidence_regularisers import confidence_regulariser
from acclimate.losses.prototypes import (
    class_means,
    divergence,
    prototype_distances,
    prototype_probabilities,
    reverse_cross_entropy,
)
from acclimate.methods.base import AdaptingOptions, Losses, Method, Setting, Term, figure
from acclimate.methods.strong_view import strong_view
from acclimate.methods.teacher import TeacherOptions
from acclimate.models.network import Output, SegmentationNetwork
from acclimate.models.resize import upsample

LABELLING = "labelling"
"""The reference to the network that the stage starts from, whose soft labels are corrected."""


class ProdaTeacher(TeacherOptions):
    """Those of :class:`TeacherOptions`, without a ramp."""

    ramp: bool = False


class ProdaOptions(AdaptingOptions):
    """Settings of ProDA's first stage.

    Attributes:
        cross_entropy_weight: of the cross-entropy on the corrected labels (0.1).
        reverse_weight: of the reverse cross-entropy on them (1).
        regulariser_weight: of MRKLD on all target pixels (0.1 for GTA5, 0 for SYNTHIA).
        consistency_weight: of the divergence between what the prototypes say of both views (10; the loss is a mean over
            places and classes).
        temperature: of the softmax over distances (1).
        prototype_momentum: of the prototypes' moving average (0.0001).
        mean_until: image-level means of a class whose plain mean its prototype is, before it moves (100).
        gather_steps: first steps, in which nothing is trained and prototypes are gathered with the network that the
            stage starts from.
        least_places: places that a class needs in an image to move its prototype (10).
        strong: colours and blur of the strong view.
        cutout: side of the square hidden in the strong view, as a share of the shorter side.
        teacher: the moving average whose features the prototypes follow.
    """

    cross_entropy_weight: NonNegativeFloat = 0.1
    reverse_weight: NonNegativeFloat = 1.0
    regulariser_weight: NonNegativeFloat = 0.1
    consistency_weight: NonNegativeFloat = 10.0
    temperature: PositiveFloat = 1.0
    prototype_momentum: float = Field(default=1e-4, ge=0.0, le=1.0)
    mean_until: NonNegativeInt = 100
    gather_steps: NonNegativeInt = 0
    least_places: NonNegativeInt = 10
    strong: Photometric | None = Photometric.model_validate(PRESETS["strong"])
    cutout: float = Field(default=1 / 3, ge=0.0, le=1.0)
    teacher: TeacherOptions = ProdaTeacher()


class Proda(Method):
    """L_seg(source) + the corrected labels' losses on a weak view + the prototypes' consistency on a strong one.

    Labels are argmax of omega_c p0_c, where p0 is what the network that the stage starts from says and omega the
    softmax of minus the distances between a moving average's features and the prototypes. All of it happens at a
    quarter of the images' size. A class without a prototype yet is not corrected.
    """

    name = "proda"
    summary = "soft labels corrected online by class prototypes, which both views agree on (ProDA, first stage)"
    Options = ProdaOptions
    options: ProdaOptions
    teaches = True

    def __init__(self, network: SegmentationNetwork, *, options: ProdaOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.refer_to(LABELLING, deepcopy(network))
        self.register_buffer("prototypes", torch.zeros(network.classes, network.feature_channels()["main"]))
        self.register_buffer("counts", torch.zeros(network.classes))

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        options = self.options
        size = (max(1, target.images.shape[-2] // 4), max(1, target.images.shape[-1] // 4))
        assert self.teacher is not None
        gathering = step < options.gather_steps
        with torch.no_grad():
            said: Output = self.references[LABELLING](target.images)
            seen: Output = said if gathering else self.teacher.network(target.images)
            features, logits = _features(seen, size), upsample(seen.logits, size)
        if gathering:
            self._move_prototypes(features, logits, step=step)
            yield {"classes with prototypes": figure((self.get_buffer("counts") > 0).float().mean())}
            return

        yield self.supervised(source)[0]

        distances, known = prototype_distances(features, self.get_buffer("prototypes")), self.get_buffer("counts") > 0
        labels = self.corrected(upsample(said.logits, size).softmax(dim=1), distances)
        small: Output = self.network(target.images)
        weak = upsample(small.logits, size)
        everywhere = torch.zeros_like(labels)
        terms: Losses = {
            "corrected labels": Term(cross_entropy(weak, labels), options.cross_entropy_weight),
            "reverse": Term(reverse_cross_entropy(weak, labels), options.reverse_weight),
            "regulariser": Term(confidence_regulariser(weak, everywhere, kind="kld"), options.regulariser_weight),
            "corrected share": figure((labels != upsample(said.logits, size).argmax(dim=1)).float().mean()),
        }
        output = self.at_images(small, target)
        terms |= self.class_prior(output) | self.pseudo_labels(output, target)
        del small, output, weak
        yield terms
        del terms

        if options.consistency_weight > 0 and bool(known.any()):
            yield self._consistency(target.images, distances, known, size)
        self._move_prototypes(features, logits, step=step)

    def averaged_buffers(self) -> list[Tensor]:
        return [self.get_buffer("prototypes"), self.get_buffer("counts")]

    def corrected(self, probabilities: Tensor, distances: Tensor) -> Tensor:
        """(B, h, w) labels: argmax of the soft labels (B, C, h, w) times the prototypes' weights."""
        known = self.get_buffer("counts") > 0
        if not bool(known.any()):
            return probabilities.argmax(dim=1)
        weights = prototype_probabilities(distances / self.options.temperature, known)
        return torch.where(known.view(1, -1, 1, 1), weights * probabilities, 0.0).argmax(dim=1)

    def _consistency(self, images: Tensor, distances: Tensor, known: Tensor, size: tuple[int, int]) -> Losses:
        """The divergence of what the prototypes say of the strong view from what they say of the weak one."""
        options = self.options
        view = strong_view(
            images, strong=options.strong, cutout=options.cutout, fill=self.network.preprocessing.mean_colour
        )
        distances, counted = view.turned(distances), view.visible_at(size)
        ours = prototype_distances(_features(self.network(view.images), size), self.get_buffer("prototypes"))
        teacher, student = (prototype_probabilities(each / options.temperature, known) for each in (distances, ours))
        return {"consistency": Term(divergence(teacher, student, counted), options.consistency_weight)}

    @torch.no_grad()
    def _move_prototypes(self, features: Tensor, logits: Tensor, *, step: int) -> None:
        """Plain means first, then the moving average; classes that an image has too few places of stay."""
        prototypes, counts = self.get_buffer("prototypes"), self.get_buffer("counts")
        for number, mean in class_means(features, logits, least=self.options.least_places):
            plain = step < self.options.gather_steps or counts[number] < self.options.mean_until
            share = 1 / (counts[number] + 1) if plain else self.options.prototype_momentum
            prototypes[number] += share * (mean.to(prototypes) - prototypes[number])
            counts[number] = (counts[number] + 1).clamp(max=3000)


def _features(output: Output, size: tuple[int, int]) -> Tensor:
    assert output.features is not None
    return upsample(output.features, size)
