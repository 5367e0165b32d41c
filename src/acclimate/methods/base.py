"""What a method is: it owns networks and optimisers and says, step by step, which losses to descend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator
from torch import Tensor
from torch.nn import functional
from typing_extensions import Self

from acclimate.data.sample import Batch
from acclimate.losses import class_ratio_prior, cross_entropy
from acclimate.losses.segmentation import Over, enlarged_cross_entropy, logarithmic_class_weights
from acclimate.methods.masked_consistency import MaskedConsistency, masked
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.methods.teacher import PseudoLabels, Teacher, TeacherOptions
from acclimate.methods.trainable import KEPT_SHARE, Losses, Role, Statistic, Term, Trainable, figure
from acclimate.models.network import MAIN, Output, Region, SegmentationNetwork
from acclimate.models.resize import upsample

__all__ = [
    "INITIAL",
    "AdaptingOptions",
    "Losses",
    "Method",
    "MethodOptions",
    "PseudoLabelOptions",
    "Role",
    "Setting",
    "Statistic",
    "Term",
    "figure",
]


INITIAL = "initial"
"""The reference to the network as it was before any training."""


class MethodOptions(BaseModel):
    """Settings of every segmentation method.

    Attributes:
        auxiliary_weight: weight of the auxiliary output's cross-entropy (lambda_seg of AdaptSegNet; 0.1 published).
        class_weights: ``logarithmic``: where labels are people's, a pixel of a rare class counts more, by the class's
            share of the source's pixels, see :func:`acclimate.losses.segmentation.logarithmic_class_weights`; on
            pseudo-labels, whose rare classes are the least sure, all count alike. ``none``: all count alike.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    auxiliary_weight: NonNegativeFloat = 0.1
    class_weights: Literal["none", "logarithmic"] = "none"


class PseudoLabelOptions(MethodOptions):
    """Settings of methods that can be given pseudo-labels of the target beside the labelled source.

    Attributes:
        pseudo_label_weight: lambda_SL of ESL eq. 4.
        pseudo_label_auxiliary_weight: the same for the auxiliary output: 0 in the paper, 0.1 in the authors' code.
    """

    pseudo_label_weight: NonNegativeFloat = 1.0
    pseudo_label_auxiliary_weight: NonNegativeFloat = 0.0


class AdaptingOptions(PseudoLabelOptions):
    """Settings of every method that adapts.

    Attributes:
        class_prior_weight: weight of the class-ratio prior (ADVENT eq. 10); 0 leaves it out.
        class_prior_mu: mu of eq. 10: 0 asks nothing, 1 for the source's exact ratios.
        masked_consistency: see :class:`acclimate.methods.masked_consistency.MaskedConsistency`; null: none.
        teacher: whose labels masked consistency asks for, where the method has no teacher of its own; null: as
            published, see :class:`acclimate.methods.teacher.TeacherOptions`.
    """

    class_prior_weight: NonNegativeFloat = 0.0
    class_prior_mu: float = Field(default=0.5, ge=0.0, le=1.0)
    masked_consistency: MaskedConsistency | None = None
    teacher: TeacherOptions | None = None

    @model_validator(mode="after")
    def _somebody_asks_the_teacher(self) -> Self:
        of_its_own = type(self).model_fields["teacher"].default is not None
        if self.teacher is not None and self.masked_consistency is None and not of_its_own:
            raise ValueError("teacher is set, but only masked_consistency would ask it; set that too")
        return self


@dataclass(frozen=True)
class Setting:
    """What surrounds a method: everything it may know besides its network and its own options.

    Attributes:
        optimizer: how the network is optimised.
        steps: of the training.
        class_ratios: (C,) share of each class among the source's labelled pixels; None where nobody asked.
        class_sizes: (C,) mean size of each class in the source's images that contain it (MLSL eq. 4); None likewise.
        class_shares: ``source`` and ``target`` -> image name -> (C,) fraction of its (pseudo-)label that each class
            covers; empty where nobody asked.
        class_thresholds: (C,) probabilities above which the pseudo-labels at hand were chosen, 1 for a class that was
            never predicted; None where nobody asked.
        class_names: in train-id order.
        initial: the network with its backbone's own weights, before any stage has trained it; None where nobody asked.
    """

    optimizer: OptimizerSettings
    steps: int = 1
    class_ratios: Tensor | None = None
    class_sizes: Tensor | None = None
    class_shares: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    class_thresholds: Tensor | None = None
    class_names: tuple[str, ...] = ()
    initial: SegmentationNetwork | None = None

    def initial_network(self) -> SegmentationNetwork:
        """A copy of :attr:`initial`, which was asked for."""
        if self.initial is None:
            raise ValueError("the method refers to its initial network, which its needs do not name")
        return deepcopy(self.initial)


class Method(Trainable[Batch]):
    """One way to train a segmentation network from a labelled source and an unlabelled target."""

    Options: ClassVar[type[MethodOptions]] = MethodOptions
    teaches: ClassVar[bool] = False
    """Whether the method asks a teacher by itself; with masked consistency every method has one."""

    network: SegmentationNetwork
    teacher: Teacher | None
    class_factors: Tensor | None
    """(C + 1,): how much a pixel of each class, and of void, counts; None where all count alike."""

    def __init__(self, network: SegmentationNetwork, *, options: MethodOptions, setting: Setting) -> None:
        super().__init__(network, optimizer=setting.optimizer)
        self.options = options
        self.setting = setting
        self.teacher = None
        if isinstance(options, AdaptingOptions) and (self.teaches or options.masked_consistency is not None):
            self.teacher = Teacher(network, options.teacher or TeacherOptions())
        self._taught: tuple[Tensor, PseudoLabels] | None = None
        factors, ratios = None, setting.class_ratios
        if options.class_weights == "logarithmic" and ratios is not None:
            factors = functional.pad(logarithmic_class_weights(ratios), (0, 1), value=1.0)  # the last is void's
        self.register_buffer("class_factors", factors, persistent=False)

    @classmethod
    def needs(cls, options: MethodOptions) -> frozenset[Statistic]:
        prior = isinstance(options, AdaptingOptions) and options.class_prior_weight > 0
        return frozenset({"class ratios"}) if prior or options.class_weights != "none" else frozenset()

    def terms(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        self._taught = None
        yield from super().terms(source, target, step)
        if isinstance(self.options, AdaptingOptions) and self.options.masked_consistency is not None:
            assert target is not None
            yield self.masked_consistency(target, self.options.masked_consistency)

    def result(self) -> SegmentationNetwork:
        """The student, or the teacher where its options say so."""
        teacher = self.teacher
        return self.network if teacher is None or teacher.options.result == "student" else teacher.network

    def after_step(self, step: int) -> None:
        self._taught = None
        if self.teacher is not None:
            self.teacher.follow(self.network, step)

    # --- the pieces methods share -------------------------------------------------------------------------------

    def supervised(self, batch: Batch, *, enlarged: bool = False) -> tuple[Losses, Output]:
        """The weighted cross-entropy of every level, and the output they came from.

        Args:
            enlarged: give the output's logits at the labels' size, for a method that needs them for more than this;
                else as the network gives them: no more than one image's are enlarged at a time then.
        """
        assert batch.labels is not None
        if enlarged:
            output = self._enlarged(batch.images, (batch.labels.shape[-2], batch.labels.shape[-1]))
        else:
            output = self.network(batch.images)
        terms = _cross_entropies(
            output,
            batch.labels,
            "supervised",
            name="segmentation",
            main=1.0,
            others=self.options.auxiliary_weight,
            weights=self._class_weights(batch.labels),
        )
        return terms, output

    def target_output(self, target: Batch) -> Output:
        """The network's output on target images, logits enlarged to the images' size."""
        return self._enlarged(target.images, (target.images.shape[-2], target.images.shape[-1]))

    def at_images(self, output: Output, batch: Batch) -> Output:
        """What the network said of a batch's images, logits enlarged to their size."""
        return _at_size(output, (batch.images.shape[-2], batch.images.shape[-1]))

    def _enlarged(self, images: Tensor, size: tuple[int, int]) -> Output:
        return _at_size(self.network(images), size)

    def pseudo_labels(self, output: Output, target: Batch) -> Losses:
        """ESL eq. 4: cross-entropy on the target's pseudo-labels; nothing where the batch has none."""
        options = self.options
        if target.labels is None or not isinstance(options, PseudoLabelOptions):
            return {}
        weight, others = options.pseudo_label_weight, options.pseudo_label_auxiliary_weight
        return _cross_entropies(
            output,
            target.labels,
            "adaptation",
            name="pseudo-labels",
            main=weight,
            others=others,
        )

    def taught(self, target: Batch) -> PseudoLabels:
        """The teacher's labels of the target images, asked for once a step."""
        if self._taught is None or self._taught[0] is not target.images:
            assert self.teacher is not None
            self._taught = target.images, self.teacher.pseudo_labels(target.images)
        return self._taught[1]

    def taught_losses(
        self, name: str, images: Tensor, taught: PseudoLabels, *, labels: Tensor, weights: Tensor, weight: float
    ) -> Losses:
        """Cross-entropy of every level on labels that are a teacher's, in whole or in part; and how sure it was.

        Args:
            images: (B, 3, H, W), what the network gets to see.
            taught: what the teacher said, for the figures.
            labels: (B, H, W).
            weights: (B, H, W) of each pixel; the mean is over all pixels, void ones too, as in DACS.
            weight: of the main level; other levels have ``auxiliary_weight`` of it.
        """
        output = self.network(images)
        others = weight * self.options.auxiliary_weight
        terms = _cross_entropies(
            output, labels, "adaptation", name=name, main=weight, others=others, weights=weights, over="all"
        )
        terms[KEPT_SHARE] = figure(taught.kept_share)
        terms["teacher confidence"] = figure(taught.probability.mean())
        return terms

    def masked_consistency(self, target: Batch, options: MaskedConsistency) -> Losses:
        """MIC eq. 6: what the teacher says of whole images, learned from the parts that are not hidden."""
        taught = self.taught(target)
        images = masked(target.images, options, fill=self.network.preprocessing.mean_colour)
        return self.taught_losses(
            "masked", images, taught, labels=taught.labels, weights=taught.weights, weight=options.weight
        )

    def _class_weights(self, labels: Tensor) -> Tensor | None:
        """(B, H, W): how much each pixel counts by its class, 1 for void; None where all count alike."""
        if self.options.class_weights == "none":
            return None
        assert self.class_factors is not None, "class_weights is set but no class ratios of the source were given"
        return self.class_factors[labels.clamp(max=len(self.class_factors) - 1)]

    def initial_features(self, images: Tensor) -> Tensor:
        """The features (B, D, h, w) of the network as it was before any training, to which the method refers."""
        network = self.references[INITIAL]
        assert isinstance(network, SegmentationNetwork)
        with torch.no_grad():
            features = network.features_of(images)
        assert features is not None
        return features

    def class_prior(self, output: Output) -> Losses:
        """ADVENT eq. 10 on the main output; nothing where its weight is 0."""
        options = self.options
        if not isinstance(options, AdaptingOptions) or options.class_prior_weight == 0:
            return {}
        ratios = self.setting.class_ratios
        assert ratios is not None, "class_prior_weight is set but no class ratios of the source were given"
        prior = class_ratio_prior(output.logits, ratios, mu=options.class_prior_mu)
        return {"class prior": Term(prior, options.class_prior_weight)}


def _at_size(output: Output, size: tuple[int, int]) -> Output:
    return output.with_logits(lambda level: upsample(level.logits, level.size_within(size)))


def _cross_entropies(
    output: Output,
    labels: Tensor,
    role: Role,
    *,
    name: str,
    main: float,
    others: float,
    weights: Tensor | None = None,
    over: Over = "valid",
) -> Losses:
    """The cross-entropy of every level whose weight is not 0; that of the main level is always there.

    Args:
        output: logits of any size; they are enlarged to that of the labels, or of the level's region.
        labels: (B, H, W).
        role: of the terms.
        name: of the main level's loss; the others' have the level's name before it.
        main: weight of the main level; where the network weighs its levels, of their sum.
        others: weight of every other level that the network does not weigh.
        weights, over: of the pixels, see :func:`acclimate.losses.cross_entropy`.
    """
    terms: Losses = {}
    for level_name, level in output.levels.items():
        weight = main if level_name == MAIN else others
        if level.weight is not None:
            weight = main * level.weight
        if level_name != MAIN and weight == 0:
            continue

        def within(maps: Tensor, region: Region | None = level.region) -> Tensor:
            return maps if region is None else region.of(maps)

        loss_name = name if level_name == MAIN else f"{level_name} {name}"
        own_weights = None if weights is None else within(weights)
        own_labels = within(labels)
        same = level.logits.shape[-2:] == own_labels.shape[-2:]
        loss_of = cross_entropy if same else enlarged_cross_entropy
        loss = loss_of(level.logits, own_labels, weights=own_weights, over=over)
        terms[loss_name] = Term(loss, weight, role)
    return terms
