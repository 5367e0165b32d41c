"""Detectors: RGB images to class logits and box offsets at every prior of every feature map.

What the families of one-stage detectors have in common is here. How outputs become probabilities, what is learned from
boxes, and which boxes are found, each family says in a file of its own: ``ssd.py``, ``retinanet.py``, ``fcos.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from typing_extensions import Self

from acclimate.detection.config import DetectorConfig
from acclimate.detection.losses import MapShape
from acclimate.detection.sample import Boxes
from acclimate.models.batch_norm import BatchNormSetting, freeze_affine, use_running_statistics
from acclimate.models.network import ParameterGroup, trainable
from acclimate.models.padding import padded
from acclimate.precision import full_precision


class DetectorOutput(NamedTuple):
    """What a detector says about a batch; P priors in the order map, row, column, anchor.

    Attributes:
        logits: (B, P, L), one for each of the family's labels.
        offsets: (B, P, 4), boxes encoded relative to the priors.
        priors: (P, 4), x0, y0, x1, y1 in pixels of the input. FCOS has points: the centres of its priors.
        maps: the shapes of the feature maps, whose priors add up to P.
        features: the maps themselves, (B, channels, h, w), the finest first.
        centreness: (B, P, 1), logits of how near a point lies to the middle of its object; None but in FCOS.
    """

    logits: Tensor
    offsets: Tensor
    priors: Tensor
    maps: tuple[MapShape, ...]
    features: tuple[Tensor, ...]
    centreness: Tensor | None = None


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


class Candidates(NamedTuple):
    """The predictions of one image among which non-maximum suppression chooses, each (K,).

    Attributes:
        scores: in [0, 1].
        places: which prior each belongs to.
        classes: place in the class space.
    """

    scores: Tensor
    places: Tensor
    classes: Tensor


class Detector(nn.Module, ABC):
    """A one-stage detector around a module of torchvision's; it normalises by itself.

    The module's own ``forward`` and its ``transform`` are not used: pictures come at the size they are to be seen at.

    Args:
        module: backbone, heads, priors, matching, loss and non-maximum suppression.
        config: what it was built from.
        classes: number of classes without the background.
        mean, std: of the normalisation, RGB in [0, 1].
        rates: part of the module -> multiple of the learning rate for its weights.
        batch_norm: see :mod:`acclimate.models.batch_norm`; None leaves batch norm as the module has it.

    Attributes:
        family: what such detectors are called, and where their tensors lie in a checkpoint.
        kind: torchvision's class of the module.
        bypassed: the methods of that class that are not called here, so that a subclass must not change them.
        spare: how many labels the module may have beyond the classes.
        first: the label of the first class: those before it are of no class.
        multiple: what the sides of images are padded to a multiple of, as the module's ``transform`` does.
    """

    task: ClassVar[str] = "detection"
    family: ClassVar[str]
    kind: ClassVar[Any]
    bypassed: ClassVar[tuple[str, ...]]
    spare: ClassVar[tuple[int, ...]] = (1,)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module,
        config: DetectorConfig,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        rates: Mapping[str, float] | None = None,
        batch_norm: BatchNormSetting | None = None,
    ) -> None:
        super().__init__()
        self.add_module(self.family, module)
        self.config = config
        self.classes = classes
        self.first = 1
        self.rates = dict(rates or {})
        self.batch_norm = batch_norm
        self.multiple = int(self.module.transform.size_divisible)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        if batch_norm is not None:
            freeze_affine(self, batch_norm)
            self.train(self.training)

    @property
    def module(self) -> Any:
        """Torchvision's module."""
        return getattr(self, self.family)

    @property
    def anchors_per_cell(self) -> list[int]:
        """Priors at each position, map by map."""
        counts: list[int] = self.module.anchor_generator.num_anchors_per_location()
        return counts

    @property
    def channels(self) -> int:
        """Channels of the finest feature map."""
        first = next(layer for layer in self.module.head.modules() if isinstance(layer, nn.Conv2d))
        return first.in_channels

    def forward(self, images: Tensor, priors: Tensor | None = None) -> DetectorOutput:
        """Logits, offsets and priors of RGB images (B, 3, H, W) with values in [0, 1].

        Args:
            images: at the size at which they are to be seen.
            priors: those of another output for images of this size, which depend on nothing else.
        """
        normalised = padded((full_precision(images) - self.mean) / self.std, self.multiple)
        maps = self.module.backbone(normalised)
        features = [maps] if isinstance(maps, Tensor) else list(maps.values())
        found = self.module.head(features)
        shapes = tuple(
            MapShape(feature.shape[-2], feature.shape[-1], anchors)
            for feature, anchors in zip(features, self.anchors_per_cell, strict=True)
        )
        if priors is None:
            with torch.autocast(images.device.type, enabled=False):
                full = [full_precision(feature) for feature in features]
                size = (normalised.shape[-2], normalised.shape[-1])
                priors = self.module.anchor_generator(ImageList(normalised[:1], [size]), full)[0]
        logits, offsets = found["cls_logits"], found["bbox_regression"]
        return DetectorOutput(logits, offsets, priors, shapes, tuple(features), found.get("bbox_ctrness"))

    @abstractmethod
    def loss(
        self, output: DetectorOutput, boxes: Sequence[Boxes], *, spared: Sequence[Boxes] | None = None
    ) -> dict[str, Tensor]:
        """The family's own losses, as torchvision computes them.

        Args:
            output: of the batch.
            boxes: one per image, in pixels of the network's input. Difficult ones are left out.
            spared: one per image: what may be objects. Priors on them that belong to none of ``boxes`` are neither
                object nor background.

        Returns:
            ``classification``: of what is where; ``localisation``: of how the boxes lie; both scalars.
        """

    @abstractmethod
    def detections(self, output: DetectorOutput, size: tuple[int, int]) -> list[Detection]:
        """What is found, per image: boxes with scores above the module's ``score_thresh`` that survive suppression.

        Args:
            output: of a batch.
            size: (height, width) of the images given to the network; boxes are clipped to it.
        """

    @abstractmethod
    def information(self, output: DetectorOutput, *, background: bool = True) -> Tensor:
        """-P log P of everything that a prior's label may turn out to be, (B, P, n), whose sum over n is in [0, 1].

        Args:
            output: of a batch.
            background: whether the background is one of the labels.
        """

    @abstractmethod
    def information_channels(self, *, background: bool = True) -> int:
        """How many n there are in :meth:`information`.

        Raises:
            UserError: the background cannot be left out where there is none.
        """

    @abstractmethod
    def decoded(self, output: DetectorOutput, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(P, 4) boxes in pixels, clipped to ``size``, and (P, classes) scores of the first image of a batch."""

    @abstractmethod
    def candidates(self, scores: Tensor, maps: Sequence[MapShape]) -> Candidates:
        """Those of the scores (P, classes) of an image that suppression chooses from, ``score_thresh`` apart."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters at one learning rate, except for the parts that have rates of their own."""
        seen: set[int] = set()
        own = []
        for part, rate in self.rates.items():
            found = [each for each in trainable(self.module.get_submodule(part).parameters()) if id(each) not in seen]
            seen.update(map(id, found))
            own.append(ParameterGroup(part, found, rate))
        rest = [each for each in trainable(self.parameters()) if id(each) not in seen]
        return [group for group in (ParameterGroup("detector", rest), *own) if group.params]

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, except that batch norms obey their setting."""
        super().train(mode)
        if self.batch_norm is not None:
            use_running_statistics(self, self.batch_norm)
        return self


def clipped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (P, 4) within an image of (height, width)."""
    height, width = size
    sides = zip(boxes.unbind(dim=1), (width, height, width, height), strict=True)
    return torch.stack([values.clamp(0, side) for values, side in sides], dim=1)


def sorted_by_score(found: Mapping[str, Tensor], *, first: int) -> Detection:
    """What torchvision found in an image, most certain first; ``first`` is the label of the first class."""
    order = found["scores"].argsort(descending=True, stable=True)
    return Detection(found["boxes"][order], found["labels"][order] - first, found["scores"][order])
