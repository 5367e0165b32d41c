"""SSD and SSDLite: a softmax over the classes and the background at every prior, and the hardest background mined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.ssd import SSD

from acclimate.detection.config import DetectorConfig
from acclimate.detection.detector import Candidates, Detection, Detector, DetectorOutput, clipped, sorted_by_score
from acclimate.detection.losses import MapShape, box_self_information
from acclimate.detection.matching import SURE, owners_by_overlap, targets_of, unowned_on, without_difficult
from acclimate.detection.sample import Boxes
from acclimate.precision import full_precision

_SPARED_OVERLAP = 0.5


class SSDDetector(Detector):
    """Around torchvision's SSD; label 0 is the background.

    Args:
        background_below: IoU with every object, difficult ones too, below which a prior is background; from there to
            the IoU at which a prior is an object's it is neither. None: the latter, as in SSD, where what is hardest
            to tell from an object is most of what is mined as background.
    """

    family = "ssd"
    kind = SSD
    bypassed = ("forward",)

    def __init__(
        self,
        module: nn.Module,
        config: DetectorConfig,
        classes: int,
        *,
        background_below: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(module, config, classes, **settings)
        self.background_below = background_below

    def loss(
        self, output: DetectorOutput, boxes: Sequence[Boxes], *, spared: Sequence[Boxes] | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy and smooth L1.

        A prior belongs to the ground truth it overlaps most if their IoU is at least 0.5, or if no prior overlaps that
        ground truth more. Cross-entropy over the matched priors and three times as many of the hardest others, plus
        smooth L1 of the offsets; both summed and divided by the matched priors of the batch (at least 1). A prior that
        overlaps a spared box by half and belongs to no object is left out.
        """
        priors, matcher = output.priors, self.module.proposal_matcher
        targets = targets_of(without_difficult(boxes), first=self.first, device=priors.device)
        owners = owners_by_overlap(targets, priors, matcher)
        with torch.autocast(priors.device.type, enabled=False):
            logits = full_precision(output.logits)
            if self.background_below is not None and self.background_below < matcher.high_threshold:
                logits = _sure_of_background(logits, unowned_on(owners, priors, boxes, overlap=self.background_below))
            if spared is not None:
                logits = _sure_of_background(logits, unowned_on(owners, priors, spared, overlap=_SPARED_OVERLAP))
            heads = {"cls_logits": logits, "bbox_regression": full_precision(output.offsets)}
            losses = self.module.compute_loss(targets, heads, [priors] * len(boxes), owners)
        return {"classification": losses["classification"], "localisation": losses["bbox_regression"]}

    @torch.no_grad()
    def detections(self, output: DetectorOutput, size: tuple[int, int]) -> list[Detection]:
        """Boxes of score above 0.01 that survive non-maximum suppression at IoU 0.45, unless the module says other."""
        count = len(output.logits)
        heads = {"cls_logits": full_precision(output.logits), "bbox_regression": full_precision(output.offsets)}
        found = self.module.postprocess_detections(heads, [output.priors] * count, [size] * count)
        return [sorted_by_score(each, first=self.first) for each in found]

    def information(self, output: DetectorOutput, *, background: bool = True) -> Tensor:
        """-P log P / log C of the C classes, the background counted or not (ADVENT appendix A)."""
        return box_self_information(output.logits, background=background)

    def information_channels(self, *, background: bool = True) -> int:
        return self.classes + background

    def decoded(self, output: DetectorOutput, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        boxes = self.module.box_coder.decode_single(output.offsets[0], output.priors)
        return clipped(boxes, size), output.logits[0].softmax(dim=-1)[:, 1:]

    def candidates(self, scores: Tensor, maps: Sequence[MapShape]) -> Candidates:
        """The best of every class."""
        top, places = scores.topk(min(self.module.topk_candidates, len(scores)), dim=0)
        classes = torch.arange(scores.shape[1], device=scores.device).expand_as(top)
        return Candidates(top.reshape(-1), places.reshape(-1), classes.reshape(-1))


def _sure_of_background(logits: Tensor, which: Tensor) -> Tensor:
    """Logits in which some priors are sure of the background: without loss, and never mined."""
    sure = logits.new_full((logits.shape[-1],), -SURE)
    sure[0] = 0.0
    return torch.where(which[..., None], sure, logits)
