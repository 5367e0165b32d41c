"""FCOS (Tian et al. 2019): points instead of anchors, the distances to a box's sides, and how central a point is."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import FCOS

from acclimate.detection.detector import DetectorOutput
from acclimate.detection.matching import NEITHER, SURE
from acclimate.detection.per_class import PerClassDetector


class FCOSDetector(PerClassDetector):
    """Around torchvision's FCOS.

    A point belongs to the smallest object in whose middle it lies and whose farthest side is in the range of the
    point's map. The localisation loss is the sum of the boxes' GIoU loss and the centreness's cross-entropy; a score is
    the root of the class's and the centreness's.
    """

    family = "fcos"
    kind = FCOS
    bypassed = ("forward", "compute_loss")

    def owners(self, targets: Sequence[dict[str, Tensor]], output: DetectorOutput) -> list[Tensor]:
        counts = [shape.priors for shape in output.maps]
        # torchvision finds the owners on the way to the loss; a head that hands them back makes it tell them
        telling: Any = SimpleNamespace(
            center_sampling_radius=self.module.center_sampling_radius,
            head=SimpleNamespace(compute_loss=lambda targets, heads, priors, owners: owners),
        )
        owners: list[Tensor] = FCOS.compute_loss(telling, targets, {}, [output.priors] * len(targets), counts)
        return owners

    def boxes_at(self, offsets: Tensor, priors: Tensor) -> Tensor:
        boxes: Tensor = self.module.box_coder.decode(offsets, priors)
        return boxes

    def leaving_out(self, heads: dict[str, Tensor], owners: Sequence[Tensor]) -> dict[str, Tensor]:
        """Points that are neither become sure that no class is there, which costs nothing: torchvision has no other."""
        neither = torch.stack(list(owners)) == NEITHER
        return {**heads, "cls_logits": torch.where(neither[..., None], -SURE, heads["cls_logits"])}

    def scores(self, output: DetectorOutput) -> Tensor:
        assert output.centreness is not None
        return (super().scores(output) * output.centreness[0].sigmoid()).sqrt()
