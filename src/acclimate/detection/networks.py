"""The detectors by name: SSD-300 on VGG-16, SSDLite on any backbone, a light one from scratch, and the user's own."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import Conv2dNormActivation

from acclimate.detection.config import Convention, DetectorConfig, Priors
from acclimate.detection.detector import Detector
from acclimate.detection.ssd import SSDDetector
from acclimate.detection.ssdlite import build_ssdlite, ssdlite_priors
from acclimate.detection.wrapped import detector_of_code
from acclimate.models.config import CODE
from acclimate.models.preprocessing import PREPROCESSINGS
from acclimate.models.weights import IMAGENET, downloaded, load_backbone, read_tensors

ASPECT_RATIOS = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
STEPS = [8, 16, 32, 64, 100, 300]
PRIOR_SCALES: dict[Priors, list[float]] = {
    "coco": [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
    "voc": [0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05],
}
"""Sizes of the square priors of each of SSD-300's six maps relative to the image, and one more for the last map's
second square prior: 21, 45, 99, ... 315 and 30, 60, 111, ... 315 pixels."""
MEANS: dict[Convention, tuple[float, float, float]] = {
    "torchvision": (0.48235, 0.45882, 0.40784),
    "ssd.pytorch": (104 / 255, 117 / 255, 123 / 255),
}
CANDIDATES = 200
BACKBONE, CHANNELS = "torchvision/mobilenet_v2", 96
"""Of ``ssdlite``, where its config does not say."""
BACKGROUND_BELOW, BODY_MULTIPLE = 0.4, 0.1
"""Of ``ssdlite``: see :class:`acclimate.detection.ssd.SSDDetector`, and the learning rate of its backbone."""

DETECTORS: dict[str, str] = {
    "ssd300-vgg16": "SSD-300 on VGG-16 (detection; ADVENT appendix A)",
    "ssdlite": "SSDLite on a feature pyramid over an ImageNet backbone, MobileNetV2 by default (detection)",
    "light-ssd": "a compact single-shot detector for the built-in scenes, trained from scratch (detection)",
}
"""Name and one line of description of every detector."""


def build_detector(config: DetectorConfig, classes: int, *, initialised: bool = True) -> Detector:
    """The detector that ``config`` describes, on the CPU, in training mode.

    Args:
        config: name and options.
        classes: number of classes without the background.
        initialised: whether parameters get initial values; otherwise they hold whatever is in memory, for a checkpoint
            that is about to overwrite them. Code of the user's own is called in either case.

    Raises:
        UserError: weights or code that cannot be had.
    """
    if config.name.startswith(CODE):
        return detector_of_code(config, classes)
    make = {"ssd300-vgg16": _ssd300, "ssdlite": _ssdlite, "light-ssd": _light}[config.name]
    if initialised:
        return make(config, classes)
    with torch.device("meta"):
        ssd = make(config.without_weights(), classes).module
    # what is computed from the config alone must be real: priors and normalisation
    ssd.to_empty(device="cpu")
    ssd.anchor_generator = _priors(config)
    return _detector(ssd, config, classes)


def _ssd300(config: DetectorConfig, classes: int) -> Detector:
    ssd = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=classes + 1)
    ssd.anchor_generator = _priors(config)
    if config.convention == "ssd.pytorch":
        ssd.topk_candidates = CANDIDATES
        ssd.detections_per_img = CANDIDATES * classes
    if config.weights is not None:
        _load_vgg(ssd.backbone, config.weights)
    return _detector(ssd, config, classes)


def _priors(config: DetectorConfig) -> DefaultBoxGenerator:
    if config.name == "ssd300-vgg16":
        return DefaultBoxGenerator(ASPECT_RATIOS, scales=PRIOR_SCALES[config.priors], steps=STEPS)
    if config.name == "ssdlite":
        return ssdlite_priors()
    return DefaultBoxGenerator(LIGHT_RATIOS, scales=LIGHT_SCALES, steps=LIGHT_STEPS)


def _detector(ssd: SSD, config: DetectorConfig, classes: int) -> Detector:
    if config.name == "ssd300-vgg16":
        return SSDDetector(ssd, config, classes, mean=MEANS[config.convention], std=(1 / 255,) * 3)
    if config.name == "light-ssd":
        constants = PREPROCESSINGS["imagenet"]
        return SSDDetector(ssd, config, classes, mean=constants.mean, std=constants.std)
    features: Any = ssd.backbone
    constants = PREPROCESSINGS[features.body.preprocessing]
    return SSDDetector(
        ssd,
        config,
        classes,
        mean=constants.mean,
        std=constants.std,
        background_below=BACKGROUND_BELOW,
        rates={"backbone.body": BODY_MULTIPLE} if config.weights else None,
    )


def _ssdlite(config: DetectorConfig, classes: int) -> Detector:
    ssd = build_ssdlite(
        config.backbone or BACKBONE,
        classes + 1,
        weights=config.weights,
        channels=config.channels or CHANNELS,
        frozen_stride=config.frozen_stride,
    )
    return _detector(ssd, config, classes)


def _load_vgg(extractor: Any, weights: str) -> None:
    """Fills the thirteen convolutions of VGG-16; fc6 and fc7, which SSD turns into convolutions, stay random."""
    if weights == IMAGENET:
        from torchvision.models import VGG16_Weights

        tensors = downloaded(
            "torchvision/vgg16", lambda: VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(check_hash=True)
        )
    else:
        from pathlib import Path

        tensors = read_tensors(Path(weights))
    # the extractor keeps the layers in two parts: up to conv4_3 with its activation, and from the fourth pooling on
    first = extractor.features
    convolutions = nn.Sequential(*first, *extractor.extra[0][:-1])
    given = {key.removeprefix("features."): value for key, value in tensors.items() if key.startswith("features.")}
    load_backbone(convolutions, given, where=weights)


class _LightFeatures(nn.Module):
    """Four maps, at strides 8, 16, 32 and 64, of 4, 6, 8 and 8 times ``width`` channels.

    Group instead of batch norm: statistics over a batch would mix what the two domains look like.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int) -> nn.Module:
            layers: nn.Module = Conv2dNormActivation(
                inputs, outputs, 3, stride=stride, norm_layer=lambda channels: nn.GroupNorm(8, channels)
            )
            return layers

        widths = [width, 2 * width, 4 * width, 6 * width, 8 * width, 8 * width]
        self.stem = nn.Sequential(
            block(3, widths[0], 2), block(widths[0], widths[1], 2), block(widths[1], widths[1], 1)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(block(before, after, 2), block(after, after, 1)) for before, after in pairwise(widths[1:])
        )
        self.channels = widths[2:]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps: OrderedDict[str, Tensor] = OrderedDict()
        features = self.stem(images)
        for number, stage in enumerate(self.stages):
            features = stage(features)
            maps[str(number)] = features
        return maps


LIGHT_SCALES = [0.06, 0.14, 0.3, 0.55, 0.85]
LIGHT_RATIOS = [[2, 3], [2, 3], [2, 3], [2]]
LIGHT_STEPS = [8, 16, 32, 64]
LIGHT_WIDTH = 16


def _light(config: DetectorConfig, classes: int) -> Detector:
    features = _LightFeatures(config.width or LIGHT_WIDTH)
    anchors = _priors(config)
    head = SSDHead(features.channels, anchors.num_anchors_per_location(), classes + 1)
    ssd = SSD(features, anchors, (192, 192), classes + 1, head=head)
    return _detector(ssd, config, classes)
