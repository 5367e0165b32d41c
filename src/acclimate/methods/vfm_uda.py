"""VFM-UDA: self-training for foundation models such as DINOv2 (Englert et al. 2024), and the distance of VFM-UDA++.

DACS with masked consistency and a teacher that also looks at the mirrored image; network, rates and rare-class sampling
are settings of the recipe. VFM-UDA++ adds ``feature_alignment``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor, nn

from acclimate.data.photometric import STUDENT, Photometric
from acclimate.data.sample import Batch
from acclimate.losses.feature_distance import feature_alignment
from acclimate.methods.base import INITIAL, Losses, MethodOptions, Setting, Statistic, Term
from acclimate.methods.dacs import Dacs, DacsOptions
from acclimate.methods.masked_consistency import MaskedConsistency
from acclimate.methods.optimizers import remember_initial_rates
from acclimate.methods.teacher import Margins, TeacherOptions
from acclimate.models.decoders.base import LayerNorm2d
from acclimate.models.network import SegmentationNetwork


class FeatureAlignment(BaseModel):
    """Settings of VFM-UDA++'s feature distance, which needs no labels.

    Attributes:
        weight: on each of the two domains (0.1 published).
        cosine: share of the angle in the distance (0.9 published); the rest is smooth-L1's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegativeFloat = 0.1
    cosine: float = Field(default=0.9, ge=0.0, le=1.0)


class VfmUdaTeacher(TeacherOptions):
    """Those of :class:`TeacherOptions`, with VFM-UDA's defaults."""

    flip: bool = True
    margins: Margins = Margins(top=3, bottom=25, left=3, right=3)


class VfmUdaOptions(DacsOptions):
    """Settings of VFM-UDA: those of DACS, some with other defaults.

    Attributes:
        feature_alignment: see :class:`FeatureAlignment`; null, as in VFM-UDA: none.
    """

    strong: Photometric | None = STUDENT
    teacher: TeacherOptions = VfmUdaTeacher()
    masked_consistency: MaskedConsistency | None = MaskedConsistency()
    feature_alignment: FeatureAlignment | None = None


class Projection(nn.Sequential):
    """From the network's features to those it is compared with: 1x1, layer norm, GELU, 1x1, wider inside by four."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, 4 * channels, 1),
            LayerNorm2d(4 * channels),
            nn.GELU(),
            nn.Conv2d(4 * channels, channels, 1),
        )


class VfmUda(Dacs):
    """L = L_S + L_mixed + L_masked, and in VFM-UDA++ 0.1 L_FD on both domains."""

    name = "vfm_uda"
    summary = "mixed and masked images for foundation models (VFM-UDA, VFM-UDA++)"
    Options = VfmUdaOptions
    options: VfmUdaOptions

    def __init__(self, network: SegmentationNetwork, *, options: VfmUdaOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.projection: Projection | None = None
        if options.feature_alignment is not None:
            self.projection = Projection(network.feature_channels()["main"])
            self.refer_to(INITIAL, setting.initial_network())
            settings, optimizer = setting.optimizer, self.optimizers["network"]
            rate = settings.learning_rate * network.head_learning_rate_multiple
            group = {"params": list(self.projection.parameters()), "lr": rate, "weight_decay": settings.weight_decay}
            optimizer.add_param_group(group)
            remember_initial_rates(optimizer)

    @classmethod
    def needs(cls, options: MethodOptions) -> frozenset[Statistic]:
        assert isinstance(options, VfmUdaOptions)
        initial: frozenset[Statistic] = frozenset({"initial network"})
        return super().needs(options) | (initial if options.feature_alignment is not None else frozenset())

    def source_losses(self, source: Batch) -> Losses:
        terms, output = self.supervised(source)
        return terms | self._alignment("source", source.images, output.features)

    def target_losses(self, target: Batch) -> Losses:
        terms = super().target_losses(target)
        if self.options.feature_alignment is None:
            return terms
        return terms | self._alignment("target", target.images, self.network.features_of(target.images))

    def _alignment(self, domain: Literal["source", "target"], images: Tensor, features: Tensor | None) -> Losses:
        alignment = self.options.feature_alignment
        if alignment is None or self.projection is None:
            return {}
        assert features is not None
        reference = self.initial_features(images)
        value = feature_alignment(self.projection(features), reference, cosine=alignment.cosine)
        return {f"{domain} feature alignment": Term(value, alignment.weight)}
