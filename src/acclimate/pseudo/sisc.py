"""Spatially independent and semantically consistent labels (SISC, MLSL section 3.2): many patches, one average.

A patch hides the far context a network may lean on. Where patches that see a pixel in different surroundings agree, the
pixel's class does not depend on its surroundings, and the average stays confident; where they disagree, it does not.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional

from acclimate.evaluation.inference import Inference
from acclimate.evaluation.predict import views
from acclimate.io.identity import speed_only
from acclimate.models.network import SegmentationNetwork
from acclimate.models.resize import upsample

Window = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""


class Patches(BaseModel):
    """Which patches of an image are predicted, and how they are averaged.

    Attributes:
        patches: K patches per image (50 in MLSL's paper, 25 in its code).
        size: (width, height) of a patch: whole numbers are pixels of the input, fractions are of the input's size.
            Larger than the image means as large as the image.
        whole_image: the whole image's prediction counts as one more patch, as in MLSL's code; without it pixels that no
            patch covers become void.
        vote: what is averaged: ``probabilities``, or ``frequency``: each patch's hard decision (the paper's ablation).
        shift: pixels by which a patch shows what lies above and to the left of where its predictions are written: 4 in
            MLSL's code, which pads the image and forgets to add the padding; what lies outside repeats the border.
        patches_at_once: patches in one pass through the network; changes speed and memory, not results.
        seed: of the patches' positions, together with the image's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patches: PositiveInt = 50
    size: tuple[int, int] | tuple[float, float] = (512, 512)
    whole_image: bool = False
    vote: Literal["probabilities", "frequency"] = "probabilities"
    shift: int = Field(default=0, ge=0)
    patches_at_once: PositiveInt = speed_only(4)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _has_a_size(self) -> Patches:
        fractions = any(isinstance(side, float) for side in self.size)
        if min(self.size) <= 0 or (fractions and max(self.size) > 1):
            raise ValueError(
                f"size is (width, height), whole numbers of pixels or fractions above 0 and up to 1.0 of the image; "
                f"got {list(self.size)}"
            )
        return self

    def patch_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in pixels of the patches of an image."""
        across, down = self.size
        if isinstance(across, float) or isinstance(down, float):
            across, down = round(across * width), round(down * height)
        return min(max(1, int(down)), height), min(max(1, int(across)), width)


class LabelInference(Patches):
    """How a recipe's ``label`` stage asks its network.

    Attributes:
        kind: ``whole``: the image at once; ``patches``: SISC.
        flip: average with the mirrored image's (or each mirrored patch's) prediction.
        scales: factors of the size of the image (or of each patch) over which predictions are averaged.
    """

    kind: Literal["whole", "patches"] = "whole"
    flip: bool = False
    scales: tuple[PositiveFloat, ...] = Field(default=(1.0,), min_length=1)

    @model_validator(mode="after")
    def _patches_are_read(self) -> LabelInference:
        if self.kind == "whole":
            for key, field in Patches.model_fields.items():
                if getattr(self, key) != field.default:
                    raise ValueError(f"{key} is only read with kind: patches")
        return self

    def views(self, *, size: tuple[int, int] | None) -> Inference:
        """How images, or their patches, are seen; images of (width, height) ``size``, None: their own."""
        return Inference(size=size, flip=self.flip, scales=self.scales, resample="probabilities")

    def in_patches(self) -> Patches | None:
        """The patches, if it is those that are seen."""
        return Patches(**{key: getattr(self, key) for key in Patches.model_fields}) if self.kind == "patches" else None


def patch_windows(patches: Patches, *, name: str, height: int, width: int) -> list[Window]:
    """Where an image's patches lie: a function of the seed and the image's name alone, the whole image first.

    Starts are uniform over all places where the patch fits; the published code leaves out the last row and column.
    """
    rows, columns = patches.patch_size(height, width)
    generator = np.random.default_rng([patches.seed, zlib.crc32(name.encode())])
    tops = generator.integers(height - rows + 1, size=patches.patches)
    lefts = generator.integers(width - columns + 1, size=patches.patches)
    whole: list[Window] = [(0, 0, height, width)] if patches.whole_image else []
    return whole + [(int(top), int(left), rows, columns) for top, left in zip(tops, lefts, strict=True)]


@torch.no_grad()
def low_probabilities(
    network: SegmentationNetwork, images: Tensor, *, names: Sequence[str], inference: Inference, patches: Patches | None
) -> Tensor:
    """Mean class probabilities over the views of images, not enlarged where nothing asks for it.

    Args:
        network: in evaluation mode.
        images: (B, 3, H, W) RGB in [0, 1].
        names: one per image; the patches' places follow from them.
        inference: how images, or patches, are seen.
        patches: SISC's patches; None: the whole image.

    Returns:
        (B, C, h, w) float32: at the network's stride where whole images are seen at a single scale, else at (H, W);
        0 for every class where no patch lies.
    """
    if patches is None:
        return _mean_over_views(network, images, inference)
    each = [
        _of_patches(network, image, name=name, inference=inference, patches=patches)
        for image, name in zip(images, names, strict=True)
    ]
    return torch.stack(each)


def _of_patches(
    network: SegmentationNetwork, image: Tensor, *, name: str, inference: Inference, patches: Patches
) -> Tensor:
    height, width = image.shape[1:]
    counts = torch.zeros(height, width, device=image.device)
    shifted = functional.pad(image[None], (patches.shift, 0, patches.shift, 0), mode="replicate")[0]
    summed: Tensor | None = None
    windows = patch_windows(patches, name=name, height=height, width=width)
    for group in _of_one_size(windows, patches.patches_at_once):
        rows, columns = group[0][2:]
        cut_from = image if (rows, columns) == (height, width) else shifted
        shown = torch.stack([cut_from[:, top : top + rows, left : left + columns] for top, left, _, _ in group])
        found = upsample(_mean_over_views(network, shown, inference), (rows, columns))
        if summed is None:
            summed = torch.zeros(found.shape[1], height, width, device=image.device)
        for (top, left, _, _), part in zip(group, found, strict=True):
            place = slice(top, top + rows), slice(left, left + columns)
            counts[place] += 1
            if patches.vote == "frequency":
                votes = part.argmax(dim=0, keepdim=True)
                summed[:, place[0], place[1]].scatter_add_(0, votes, torch.ones_like(votes, dtype=summed.dtype))
            else:
                summed[:, place[0], place[1]] += part
    assert summed is not None
    return summed.div_(counts.clamp_(min=1.0))


def _of_one_size(windows: list[Window], at_once: int) -> list[list[Window]]:
    """Windows in groups that can form one batch; the whole image is a group of its own."""
    groups: list[list[Window]] = []
    for window in windows:
        if groups and groups[-1][0][2:] == window[2:] and len(groups[-1]) < at_once:
            groups[-1].append(window)
        else:
            groups.append([window])
    return groups


def _mean_over_views(network: SegmentationNetwork, images: Tensor, inference: Inference) -> Tensor:
    """(B, C, h, w) float32 probabilities at the network's stride; with several scales at the images' size.

    The mirrored images' are averaged before they are enlarged, as in CBST's code.
    """
    seen = list(views(network, images, inference.model_copy(update={"resample": "probabilities"})))
    by_scale = (
        [(low + mirrored) / 2 for low, mirrored in zip(seen[::2], seen[1::2], strict=True)] if inference.flip else seen
    )
    if len(by_scale) == 1:
        return by_scale[0]
    size = (images.shape[2], images.shape[3])
    return torch.stack([upsample(low, size) for low in by_scale]).mean(dim=0)
