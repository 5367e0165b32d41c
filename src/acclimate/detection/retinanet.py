"""RetinaNet (Lin et al. 2017): anchors, focal loss and L1 of the offsets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection import RetinaNet

from acclimate.detection.detector import DetectorOutput
from acclimate.detection.matching import owners_by_overlap
from acclimate.detection.per_class import PerClassDetector


class RetinaNetDetector(PerClassDetector):
    """Around torchvision's RetinaNet.

    An anchor belongs to the object that it overlaps by 0.5 or more, or that no other anchor overlaps more; from 0.4 on
    it is neither object nor background. These are torchvision's figures; the module may have others.
    """

    family = "retinanet"
    kind = RetinaNet
    bypassed = ("forward", "compute_loss")

    def owners(self, targets: Sequence[dict[str, Tensor]], output: DetectorOutput) -> list[Tensor]:
        return owners_by_overlap(targets, output.priors, self.module.proposal_matcher)

    def boxes_at(self, offsets: Tensor, priors: Tensor) -> Tensor:
        boxes: Tensor = self.module.box_coder.decode_single(offsets, priors)
        return boxes
