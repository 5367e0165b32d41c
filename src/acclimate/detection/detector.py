"""Detectors: RGB images to class logits and box offsets at every prior of every feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from acclimate.detection.config import DetectorConfig
from acclimate.detection.losses import MapShape
from acclimate.detection.sample import Boxes
from acclimate.models.network import ParameterGroup, trainable
from acclimate.precision import full_precision

_SPARED_OVERLAP = 0.5
_SURE = 1e4


class DetectorOutput(NamedTuple):
    """What a detector says about a batch; P priors in the order map, row, column, anchor.

    Attributes:
        logits: (B, P, C), class 0 is the background.
        offsets: (B, P, 4), boxes encoded relative to the priors.
        priors: (P, 4), x0, y0, x1, y1 in pixels of the input.
        maps: the shapes of the feature maps, whose priors add up to P.
        features: the maps themselves, (B, channels, h, w), the finest first.
    """

    logits: Tensor
    offsets: Tensor
    priors: Tensor
    maps: tuple[MapShape, ...]
    features: tuple[Tensor, ...]


class Detection(NamedTuple):
    """What was found in one image, most certain first.

    Attributes:
        boxes: (N, 4), x0, y0, x1, y1 in pixels of the network's input.
        classes: (N,) place in the class space, without the background.
        scores: (N,) in [0, 1].
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor


class Detector(nn.Module):
    """A single-shot detector around torchvision's SSD; it normalises by itself.

    Args:
        ssd: backbone, heads, priors, matching, loss and non-maximum suppression.
        config: what it was built from.
        classes: number of classes without the background.
        mean, std: of the normalisation, RGB in [0, 1].
        background_below: IoU with every object, difficult ones too, below which a prior is background; from there to
            0.5 it is neither. 0.5 in SSD, where what is hardest to tell from an object is most of what is mined as
            background.
        body_multiple: of the learning rate, for the backbone's weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        ssd: SSD,
        config: DetectorConfig,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        background_below: float = 0.5,
        body_multiple: float = 1.0,
    ) -> None:
        super().__init__()
        self.ssd = ssd
        self.config = config
        self.classes = classes
        self.background_below, self.body_multiple = background_below, body_multiple
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def outputs(self) -> int:
        """Number of outputs C per prior: the classes and the background."""
        return self.classes + 1

    @property
    def anchors_per_cell(self) -> list[int]:
        """Priors at each position, map by map."""
        counts: list[int] = self._anchors.num_anchors_per_location()
        return counts

    @property
    def channels(self) -> int:
        """Channels of the finest feature map."""
        first = next(layer for layer in self.ssd.head.modules() if isinstance(layer, nn.Conv2d))
        return first.in_channels

    @property
    def _anchors(self) -> Any:
        return self.ssd.anchor_generator

    def forward(self, images: Tensor) -> DetectorOutput:
        """Logits, offsets and priors of RGB images (B, 3, H, W) with values in [0, 1]."""
        features, logits, offsets = self.heads(images)
        size = (images.shape[-2], images.shape[-1])
        shapes = tuple(
            MapShape(feature.shape[-2], feature.shape[-1], anchors)
            for feature, anchors in zip(features, self.anchors_per_cell, strict=True)
        )
        with torch.autocast(images.device.type, enabled=False):
            full = [full_precision(feature) for feature in features]
            priors = self._anchors(ImageList(images[:1], [size]), full)[0]
        return DetectorOutput(logits, offsets, priors, shapes, tuple(features))

    def heads(self, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """The feature maps, logits and offsets alone: priors depend on nothing but the images' size."""
        normalised = (full_precision(images) - self.mean) / self.std
        features = list(self.ssd.backbone(normalised).values())
        found = self.ssd.head(features)
        return features, found["cls_logits"], found["bbox_regression"]

    def loss(
        self, output: DetectorOutput, boxes: Sequence[Boxes], *, spared: Sequence[Boxes] | None = None
    ) -> dict[str, Tensor]:
        """Classification and localisation losses of SSD.

        A prior belongs to the ground truth it overlaps most if their IoU is at least 0.5, or if no prior overlaps that
        ground truth more. Cross-entropy over the matched priors and three times as many of the hardest others, plus
        smooth L1 of the offsets; both summed and divided by the matched priors of the batch (at least 1).

        Args:
            output: of the batch.
            boxes: one per image, in pixels of the network's input. Difficult ones are left out.
            spared: one per image: what may be objects. A prior that overlaps one of them by half and belongs to none of
                ``boxes`` is neither object nor background.

        Returns:
            ``classification`` and ``localisation``, scalars.
        """
        count = len(boxes)
        targets, matched = [], []
        priors = output.priors
        for item in boxes:
            easy = ~item.difficult
            corners = item.corners[easy].to(priors.device)
            classes = item.classes[easy].to(priors.device) + 1
            targets.append({"boxes": corners, "labels": classes})
            if len(corners):
                matched.append(self.ssd.proposal_matcher(box_iou(corners, priors)))
            else:
                matched.append(torch.full((len(priors),), -1, dtype=torch.int64, device=priors.device))
        with torch.autocast(priors.device.type, enabled=False):
            logits = full_precision(output.logits)
            if self.background_below < self.ssd.proposal_matcher.high_threshold:
                logits = _without(logits, priors, matched, boxes, overlap=self.background_below)
            if spared is not None:
                logits = _without(logits, priors, matched, spared, overlap=_SPARED_OVERLAP)
            heads = {
                "cls_logits": logits,
                "bbox_regression": full_precision(output.offsets),
            }
            losses = self.ssd.compute_loss(targets, heads, [priors] * count, matched)
        return {"classification": losses["classification"], "localisation": losses["bbox_regression"]}

    @torch.no_grad()
    def detections(self, output: DetectorOutput, size: tuple[int, int]) -> list[Detection]:
        """Boxes of score above 0.01 that survive non-maximum suppression at IoU 0.45, per image.

        Args:
            output: of a batch.
            size: (height, width) of the images given to the network; boxes are clipped to it.
        """
        count = len(output.logits)
        heads = {"cls_logits": full_precision(output.logits), "bbox_regression": full_precision(output.offsets)}
        found = self.ssd.postprocess_detections(heads, [output.priors] * count, [size] * count)
        results = []
        for item in found:
            order = item["scores"].argsort(descending=True, stable=True)
            results.append(Detection(item["boxes"][order], item["labels"][order] - 1, item["scores"][order]))
        return results

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters at one learning rate; the backbone's own, where it has been trained before, at a lower one."""
        body: Any = getattr(self.ssd.backbone, "body", None)
        own = set() if body is None or self.body_multiple == 1 else {id(each) for each in body.parameters()}
        rest = [each for each in trainable(self.parameters()) if id(each) not in own]
        groups = [ParameterGroup("detector", rest)]
        if own:
            groups.append(ParameterGroup("body", trainable(body.parameters()), self.body_multiple))
        return groups


def _without(
    logits: Tensor, priors: Tensor, matched: Sequence[Tensor], spared: Sequence[Boxes], *, overlap: float
) -> Tensor:
    """Logits in which unmatched priors on spared boxes are sure of the background: without loss, and never mined."""
    masks = []
    for owner, item in zip(matched, spared, strict=True):
        mask = torch.zeros_like(owner, dtype=torch.bool)
        if len(item):
            mask = (box_iou(item.corners.to(priors.device), priors).amax(dim=0) >= overlap) & (owner < 0)
        masks.append(mask)
    sure = logits.new_full((logits.shape[-1],), -_SURE)
    sure[0] = 0.0
    return torch.where(torch.stack(masks)[..., None], sure, logits)
