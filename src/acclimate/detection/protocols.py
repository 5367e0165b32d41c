"""How a detector is scored: the style of AP and the IoU of a correct detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acclimate.detection.average_precision import Style
from acclimate.errors import unknown


@dataclass(frozen=True)
class DetectionProtocol:
    """The conventions behind an mAP.

    Attributes:
        name: how recipes and results refer to it.
        style: see :data:`Style`.
        iou: least IoU of a correct detection; of ``coco`` the first of ten.
        description: one line.
    """

    name: str
    style: Style
    iou: float = 0.5
    description: str = ""

    def identity(self) -> dict[str, Any]:
        """What decides a score, as JSON."""
        return {"name": self.name, "style": self.style, "iou": self.iou}

    def averaging(self, average: object) -> DetectionProtocol:
        """The protocol itself: detectors are scored one by one."""
        return self


DETECTION_PROTOCOLS: dict[str, DetectionProtocol] = {
    each.name: each
    for each in (
        DetectionProtocol("voc07", "voc07", description="detection: 11-point AP at IoU 0.5 (Pascal VOC 2007)"),
        DetectionProtocol("voc-area", "area", description="detection: area under precision-recall at IoU 0.5"),
        DetectionProtocol("coco", "coco", description="detection: AP over the IoUs 0.5 to 0.95 (COCO)"),
    )
}
"""Protocols by name."""


def detection_protocol(name: str | None) -> DetectionProtocol:
    """The protocol of that name; without one ``voc07``, the style of the code behind ADVENT's detector.

    Raises:
        UserError: no protocol has that name.
    """
    if name is None:
        return DETECTION_PROTOCOLS["voc07"]
    if name not in DETECTION_PROTOCOLS:
        raise unknown("detection protocol", name, DETECTION_PROTOCOLS)
    return DETECTION_PROTOCOLS[name]
