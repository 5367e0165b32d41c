"""What detection methods share: the supervised loss of their detector, and what entropies are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, NonNegativeFloat
from torch import Tensor

from acclimate.detection.detector import Detector, DetectorOutput
from acclimate.detection.sample import DetectionBatch
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.methods.trainable import Losses, Term, Trainable


class DetectionOptions(BaseModel):
    """Settings every detection method has.

    Attributes:
        localisation_weight: weight of the boxes' loss against the classification loss (1 in SSD, RetinaNet and FCOS).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    localisation_weight: NonNegativeFloat = 1.0


class DetectionPseudoLabelOptions(DetectionOptions):
    """Settings of methods that can be given pseudo-labels of the target beside the source.

    Attributes:
        pseudo_label_weight: of the classification loss on the boxes that a ``label`` stage made.
        pseudo_localisation_weight: of the loss of how they lie.
    """

    pseudo_label_weight: NonNegativeFloat = 1.0
    pseudo_localisation_weight: NonNegativeFloat = 1.0


class DetectionAdaptingOptions(DetectionPseudoLabelOptions):
    """Settings of detection methods that adapt.

    Attributes:
        background: whether the background is one of the classes of the entropies. ADVENT does not say; the 9 outputs
            of the network are taken. Detectors without one (RetinaNet, FCOS) cannot leave it out.
    """

    background: bool = True


@dataclass(frozen=True)
class DetectionSetting:
    """What surrounds a detection method: how its detector is optimised."""

    optimizer: OptimizerSettings


class DetectionMethod(Trainable[DetectionBatch]):
    """One way to train a detector from a source with boxes and a target without."""

    Options: ClassVar[type[DetectionOptions]] = DetectionOptions
    network: Detector

    def __init__(self, network: Detector, *, options: DetectionOptions, setting: DetectionSetting) -> None:
        super().__init__(network, optimizer=setting.optimizer)
        self.options = options
        self.setting = setting

    def supervised(self, batch: DetectionBatch) -> tuple[Losses, DetectorOutput]:
        """The detector's own loss on a batch with boxes, and the output it came from."""
        assert batch.boxes is not None
        output: DetectorOutput = self.network(batch.images)
        losses = self.network.loss(output, batch.boxes)
        terms: Losses = {
            "classification": Term(losses["classification"], 1.0, "supervised"),
            "localisation": Term(losses["localisation"], self.options.localisation_weight, "supervised"),
        }
        return terms, output

    def pseudo_labels(self, output: DetectorOutput, target: DetectionBatch) -> Losses:
        """The detector's own loss on the target's pseudo-labels; nothing where the batch has none.

        Crowds are neither objects nor background, in families that else learn what is difficult as background, too.
        """
        options = self.options
        if target.boxes is None or not isinstance(options, DetectionPseudoLabelOptions):
            return {}
        crowds = [each.kept(each.difficult) for each in target.boxes]
        losses = self.network.loss(output, target.boxes, spared=crowds)
        return {
            "pseudo-labels": Term(losses["classification"], options.pseudo_label_weight),
            "pseudo-boxes": Term(losses["localisation"], options.pseudo_localisation_weight),
        }


class EntropyMethod(DetectionMethod):
    """A method that looks at the self-information of every prior, as the detector's family has it.

    Attributes:
        information_channels: how many values that is per prior.
    """

    options: DetectionAdaptingOptions

    def __init__(self, network: Detector, *, options: DetectionAdaptingOptions, setting: DetectionSetting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.information_channels = network.information_channels(background=options.background)

    def information(self, output: DetectorOutput) -> Tensor:
        """(B, P, n), see :meth:`acclimate.detection.detector.Detector.information`."""
        return self.network.information(output, background=self.options.background)
