"""DAFormer: DACS whose features of things stay near those of a network trained on real pictures (Hoyer et al. 2022).

Its rare-class sampling is a setting of the training (``source_sampling``), its warm-up one of the schedule, its network
one of the networks.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from acclimate.data.photometric import STUDENT, Photometric
from acclimate.data.sample import Batch
from acclimate.errors import unknown
from acclimate.losses.feature_distance import cells_of_things, feature_distance
from acclimate.methods.base import INITIAL, Losses, MethodOptions, Setting, Statistic, Term
from acclimate.methods.dacs import Dacs, DacsOptions
from acclimate.methods.teacher import TeacherOptions
from acclimate.models.network import SegmentationNetwork

THINGS = frozenset(
    (
        "traffic light",
        "traffic sign",
        "sign",
        "person",
        "pedestrian",
        "human",
        "living thing",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "vehicle",
        "motorcycle",
        "bicycle",
        "bicyclist",
    )
)
"""Names of thing-classes in the class spaces that ship: those of Cityscapes' 19, and what others call them."""


class FeatureDistance(BaseModel):
    """Settings of the thing-class feature distance.

    Attributes:
        weight: lambda_FD (0.005 published).
        share: of a cell's pixels that a thing has to cover (0.75 published).
        things: names of the classes that count; null: the things among the classes, see :data:`THINGS`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegativeFloat = 0.005
    share: float = Field(default=0.75, gt=0.5, le=1.0)
    things: tuple[str, ...] | None = None


class DAFormerOptions(DacsOptions):
    """Settings of DAFormer: those of DACS, some with other defaults.

    Attributes:
        feature_distance: see :class:`FeatureDistance`; null: none. With DINOv2 and its like it does harm; they have a
            distance of their own in ``vfm_uda``.
    """

    strong: Photometric | None = STUDENT
    teacher: TeacherOptions = TeacherOptions()
    feature_distance: FeatureDistance | None = FeatureDistance()


class DAFormer(Dacs):
    """L = L_S + L_T + lambda_FD L_FD (DAFormer eq. 9), with L_S and L_T those of DACS."""

    name = "daformer"
    summary = "DACS, with features of things near those of ImageNet (DAFormer)"
    Options = DAFormerOptions
    options: DAFormerOptions

    def __init__(self, network: SegmentationNetwork, *, options: DAFormerOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        distance = options.feature_distance
        if distance is not None:
            self.things = ids_of_things(setting.class_names, distance.things)
            self.refer_to(INITIAL, setting.initial_network())

    @classmethod
    def needs(cls, options: MethodOptions) -> frozenset[Statistic]:
        assert isinstance(options, DAFormerOptions)
        initial: frozenset[Statistic] = frozenset({"initial network"})
        return super().needs(options) | (initial if options.feature_distance is not None else frozenset())

    def source_losses(self, source: Batch) -> Losses:
        terms, output = self.supervised(source)
        distance = self.options.feature_distance
        if distance is not None and distance.weight > 0:
            assert output.features is not None
            assert source.labels is not None
            reference = self.initial_features(source.images)
            grid = (reference.shape[2], reference.shape[3])
            cells = cells_of_things(source.labels, self.things, grid, share=distance.share)
            value = feature_distance(output.features, reference, cells)
            terms["feature distance"] = Term(value, distance.weight)
        return terms


def ids_of_things(classes: Sequence[str], names: Sequence[str] | None) -> tuple[int, ...]:
    """Train ids of the named classes; of all that are known to be things where none are named.

    Raises:
        UserError: a named class is not among the classes.
    """
    for name in names or ():
        if name not in classes:
            raise unknown("class in feature_distance.things", name, classes)
    wanted = THINGS if names is None else set(names)
    return tuple(number for number, name in enumerate(classes) if name in wanted)
