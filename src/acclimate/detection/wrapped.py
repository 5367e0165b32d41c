"""Detectors of the user's own: torchvision's one-stage detectors, built in Python or named in a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from acclimate.detection.config import DetectorConfig
from acclimate.detection.detector import Detector
from acclimate.detection.fcos import FCOSDetector
from acclimate.detection.retinanet import RetinaNetDetector
from acclimate.detection.ssd import SSDDetector
from acclimate.errors import UserError
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.config import CODE
from acclimate.models.network import evaluation_mode
from acclimate.models.wrapped import module_of_code

FAMILIES: tuple[type[Detector], ...] = (SSDDetector, RetinaNetDetector, FCOSDetector)
"""The kinds of detectors that can be wrapped."""
_PROBE = 128
"""Pixels a side of the image that a module without a size of its own is tried on."""


def is_detection_module(module: nn.Module) -> bool:
    """Whether a module is a detector of torchvision's, of one stage or of two."""
    return isinstance(module, (GeneralizedRCNN, *(family.kind for family in FAMILIES)))


def wrap_detector(
    module: nn.Module,
    *,
    classes: int,
    heads: Sequence[str] = (),
    head_learning_rate_multiple: float = 1.0,
    batch_norm: BatchNormSetting | None = None,
) -> Detector:
    """One of torchvision's one-stage detectors as a detector that every method can train.

    The module's ``forward`` and ``transform`` are bypassed: pictures have the size that a recipe gives them, and are
    normalised by the transform's mean and deviation and padded to the multiple that it pads to.

    Args:
        module: torchvision's ``SSD``, ``RetinaNet`` or ``FCOS``, over any backbone, or a subclass.
        classes: number of classes without the background; the module has one more label, which torchvision keeps for
            it. RetinaNet and FCOS may also have exactly these.
        heads: names of the parts that learn at ``head_learning_rate_multiple`` times the learning rate.
        head_learning_rate_multiple: see ``heads``.
        batch_norm: see :mod:`acclimate.models.batch_norm`; None leaves batch norm as the module has it.

    Raises:
        UserError: another kind of module, one that cannot be applied to an image, or one with other labels.
    """
    given = type(module)
    name = f"{given.__module__}:{given.__qualname__}"
    family = next((each for each in FAMILIES if isinstance(module, each.kind)), None)
    if family is None:
        raise UserError(
            f"{name} is no detector that can be wrapped. Torchvision's SSD (SSDLite too), RetinaNet and FCOS can: they "
            "score the same places of every picture, which is what entropies, discriminators and export go by. The "
            "second stage of a Faster R-CNN scores the boxes that its first stage chose"
        )
    for method in family.bypassed:
        if getattr(given, method) is not getattr(family.kind, method):
            raise UserError(
                f"{name} has a {method} of its own, which would not be called: {family.kind.__name__}'s own matching "
                "and losses are trained; change its backbone or its head instead"
            )
    for part in heads:
        if part not in dict(module.named_modules()):
            raise UserError(f"{name} has no part {part!r}, which heads names")
    transform: Any = module.transform
    detector = family(
        module,
        DetectorConfig(name=f"{CODE}{name}"),
        classes,
        mean=transform.image_mean,
        std=transform.image_std,
        rates=dict.fromkeys(heads, head_learning_rate_multiple),
        batch_norm=batch_norm,
    )
    detector.first = _spare_labels(detector, name)
    return detector


def detector_of_code(config: DetectorConfig, classes: int) -> Detector:
    """The detector that code of the user's own makes; see :func:`acclimate.models.wrapped.module_of_code`.

    Raises:
        UserError: it cannot be made, or is no detector, or one of other classes.
    """
    module = module_of_code(config.name, classes, config.options)
    detector = module if isinstance(module, Detector) else wrap_detector(module, classes=classes)
    if detector.classes != classes:
        raise UserError(f"network {config.name!r} gives a detector of {detector.classes} classes, not of {classes}")
    detector.config = config
    return detector


def _spare_labels(detector: Detector, name: str) -> int:
    """How many labels a module has beyond its classes; tries it on an empty image, as training and evaluation will.

    Raises:
        UserError: it cannot be applied, or what it says does not fit together.
    """
    module = detector.module
    width, height = module.transform.fixed_size or (_PROBE, _PROBE)
    parameter = next(module.parameters())
    image = torch.zeros(1, 3, height, width, device=parameter.device)
    detector.to(parameter.device)
    try:
        with torch.no_grad(), evaluation_mode(detector), torch.random.fork_rng(devices=[]):
            output = detector(image)
    except Exception as error:  # whatever the user's code raises
        raise UserError(
            f"{name} cannot be applied to an image of {width}x{height} pixels: {type(error).__name__}: {error}"
        ) from error
    sides = [(shape.height, shape.width) for shape in output.maps]
    if any(finer[0] < coarser[0] or finer[1] < coarser[1] for finer, coarser in pairwise(sides)):
        raise UserError(f"{name}: its backbone must give the largest feature map first; it gives {sides}")
    priors = sum(shape.priors for shape in output.maps)
    if not priors == output.logits.shape[1] == output.offsets.shape[1]:
        raise UserError(
            f"{name}: its head scores {output.logits.shape[1]} places, but its anchors are {priors}: "
            f"{detector.anchors_per_cell} at each position of maps of {sides}"
        )
    labels = output.logits.shape[2]
    if labels - detector.classes not in detector.spare:
        wanted = " or ".join(str(detector.classes + spare) for spare in sorted(detector.spare, reverse=True))
        raise UserError(
            f"{name} has {labels} labels, but {detector.classes} classes need num_classes={wanted}: torchvision counts "
            "a background beside them"
        )
    return int(labels - detector.classes)
