"""What a method is: it owns networks and optimisers and says, step by step, which losses to descend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from acclimate.data.sample import Batch
from acclimate.losses import class_ratio_prior, cross_entropy
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.methods.trainable import Losses, Trainable
from acclimate.models.network import Output, SegmentationNetwork
from acclimate.models.resize import upsample

__all__ = ["AdaptingOptions", "Losses", "Method", "MethodOptions", "Setting"]


class MethodOptions(BaseModel):
    """Settings every segmentation method has.

    Attributes:
        auxiliary_weight: weight of the auxiliary output's cross-entropy (lambda_seg of AdaptSegNet; 0.1 published).
        pseudo_label_weight: lambda_SL of ESL eq. 4, used where the stage is given pseudo-labels.
        pseudo_label_auxiliary_weight: the same for the auxiliary output: 0 in the paper, 0.1 in the authors' code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    auxiliary_weight: NonNegativeFloat = 0.1
    pseudo_label_weight: NonNegativeFloat = 1.0
    pseudo_label_auxiliary_weight: NonNegativeFloat = 0.0


class AdaptingOptions(MethodOptions):
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
        source_ratios: (C,) share of each class among the source's labelled pixels; None where nobody asked.
    """

    optimizer: OptimizerSettings
    source_ratios: Tensor | None = None


class Method(Trainable[Batch]):
    """One way to train a segmentation network from a labelled source and an unlabelled target."""

    Options: ClassVar[type[MethodOptions]] = MethodOptions
    network: SegmentationNetwork

    def __init__(self, network: SegmentationNetwork, *, options: MethodOptions, setting: Setting) -> None:
        super().__init__(network, optimizer=setting.optimizer)
        self.options = options
        self.setting = setting

    # --- the pieces methods share -------------------------------------------------------------------------------

    def supervised(self, batch: Batch) -> tuple[Losses, Output]:
        """Cross-entropy of the main output plus that of the auxiliary one, and the logits they came from."""
        assert batch.labels is not None
        output = self._enlarged(batch.images, (batch.labels.shape[-2], batch.labels.shape[-1]))
        terms: Losses = {"segmentation": (cross_entropy(output.main, batch.labels), 1.0)}
        if output.auxiliary is not None and self.options.auxiliary_weight > 0:
            auxiliary = cross_entropy(output.auxiliary, batch.labels)
            terms["auxiliary segmentation"] = (auxiliary, self.options.auxiliary_weight)
        return terms, output

    def target_output(self, target: Batch) -> Output:
        """The network's output on target images, logits enlarged to the images' size."""
        return self._enlarged(target.images, (target.images.shape[-2], target.images.shape[-1]))

    def _enlarged(self, images: Tensor, size: tuple[int, int]) -> Output:
        output: Output = self.network(images)
        return output._replace(
            main=upsample(output.main, size),
            auxiliary=None if output.auxiliary is None else upsample(output.auxiliary, size),
        )

    def pseudo_labels(self, output: Output, target: Batch) -> Losses:
        """ESL eq. 4: cross-entropy on the target's pseudo-labels; nothing where the batch has none."""
        if target.labels is None:
            return {}
        terms: Losses = {"pseudo-labels": (cross_entropy(output.main, target.labels), self.options.pseudo_label_weight)}
        weight = self.options.pseudo_label_auxiliary_weight
        if output.auxiliary is not None and weight > 0:
            terms["auxiliary pseudo-labels"] = (cross_entropy(output.auxiliary, target.labels), weight)
        return terms

    def class_prior(self, output: Output) -> Losses:
        """ADVENT eq. 10 on the main output; nothing where its weight is 0."""
        options = self.options
        if not isinstance(options, AdaptingOptions) or options.class_prior_weight == 0:
            return {}
        ratios = self.setting.source_ratios
        assert ratios is not None, "class_prior_weight is set but no class ratios of the source were given"
        prior = class_ratio_prior(output.main, ratios, mu=options.class_prior_mu)
        return {"class prior": (prior, options.class_prior_weight)}
