"""What a method is: it owns networks and optimisers and says, step by step, which losses to descend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from acclimate.data.sample import Batch
from acclimate.losses import class_ratio_prior, cross_entropy
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.methods.trainable import Losses, Role, Statistic, Term, Trainable, figure
from acclimate.models.network import MAIN, Output, SegmentationNetwork
from acclimate.models.resize import upsample

__all__ = [
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


class MethodOptions(BaseModel):
    """Settings of every segmentation method.

    Attributes:
        auxiliary_weight: weight of the auxiliary output's cross-entropy (lambda_seg of AdaptSegNet; 0.1 published).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    auxiliary_weight: NonNegativeFloat = 0.1


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
    """

    class_prior_weight: NonNegativeFloat = 0.0
    class_prior_mu: float = Field(default=0.5, ge=0.0, le=1.0)


@dataclass(frozen=True)
class Setting:
    """What surrounds a method: everything it may know besides its network and its own options.

    Attributes:
        optimizer: how the network is optimised.
        class_ratios: (C,) share of each class among the source's labelled pixels; None where nobody asked.
        class_sizes: (C,) mean size of each class in the source's images that contain it (MLSL eq. 4); None likewise.
        class_shares: ``source`` and ``target`` -> image name -> (C,) fraction of its (pseudo-)label that each class
            covers; empty where nobody asked.
    """

    optimizer: OptimizerSettings
    class_ratios: Tensor | None = None
    class_sizes: Tensor | None = None
    class_shares: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


class Method(Trainable[Batch]):
    """One way to train a segmentation network from a labelled source and an unlabelled target."""

    Options: ClassVar[type[MethodOptions]] = MethodOptions
    network: SegmentationNetwork

    def __init__(self, network: SegmentationNetwork, *, options: MethodOptions, setting: Setting) -> None:
        super().__init__(network, optimizer=setting.optimizer)
        self.options = options
        self.setting = setting

    @classmethod
    def needs(cls, options: MethodOptions) -> frozenset[Statistic]:
        prior = isinstance(options, AdaptingOptions) and options.class_prior_weight > 0
        return frozenset({"class ratios"}) if prior else frozenset()

    # --- the pieces methods share -------------------------------------------------------------------------------

    def supervised(self, batch: Batch) -> tuple[Losses, Output]:
        """The weighted cross-entropy of every level, and the output they came from."""
        assert batch.labels is not None
        output = self._enlarged(batch.images, (batch.labels.shape[-2], batch.labels.shape[-1]))
        terms = _cross_entropies(
            output, batch.labels, "supervised", name="segmentation", main=1.0, others=self.options.auxiliary_weight
        )
        return terms, output

    def target_output(self, target: Batch) -> Output:
        """The network's output on target images, logits enlarged to the images' size."""
        return self._enlarged(target.images, (target.images.shape[-2], target.images.shape[-1]))

    def _enlarged(self, images: Tensor, size: tuple[int, int]) -> Output:
        output: Output = self.network(images)
        return output.with_logits(lambda level: upsample(level.logits, level.size_within(size)))

    def pseudo_labels(self, output: Output, target: Batch) -> Losses:
        """ESL eq. 4: cross-entropy on the target's pseudo-labels; nothing where the batch has none."""
        options = self.options
        if target.labels is None or not isinstance(options, PseudoLabelOptions):
            return {}
        weight, others = options.pseudo_label_weight, options.pseudo_label_auxiliary_weight
        return _cross_entropies(output, target.labels, "adaptation", name="pseudo-labels", main=weight, others=others)

    def class_prior(self, output: Output) -> Losses:
        """ADVENT eq. 10 on the main output; nothing where its weight is 0."""
        options = self.options
        if not isinstance(options, AdaptingOptions) or options.class_prior_weight == 0:
            return {}
        ratios = self.setting.class_ratios
        assert ratios is not None, "class_prior_weight is set but no class ratios of the source were given"
        prior = class_ratio_prior(output.logits, ratios, mu=options.class_prior_mu)
        return {"class prior": Term(prior, options.class_prior_weight)}


def _cross_entropies(output: Output, labels: Tensor, role: Role, *, name: str, main: float, others: float) -> Losses:
    """The cross-entropy of every level whose weight is not 0; that of the main level is always there.

    Args:
        output: logits at the size of the labels, or of the level's region.
        labels: (B, H, W).
        role: of the terms.
        name: of the main level's loss; the others' have the level's name before it.
        main: weight of the main level; where the network weighs its levels, of their sum.
        others: weight of every other level that the network does not weigh.
    """
    terms: Losses = {}
    for level_name, level in output.levels.items():
        weight = main if level_name == MAIN else others
        if level.weight is not None:
            weight = main * level.weight
        if level_name != MAIN and weight == 0:
            continue
        within = labels if level.region is None else level.region.of(labels)
        loss_name = name if level_name == MAIN else f"{level_name} {name}"
        terms[loss_name] = Term(cross_entropy(level.logits, within), weight, role)
    return terms
