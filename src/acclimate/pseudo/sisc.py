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
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from acclimate.models.network import SegmentationNetwork
from acclimate.models.resize import upsample

Window = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""


class LabelInference(BaseModel):
    """How the network is asked for pseudo-labels.

    Attributes:
        kind: ``whole``: the image at once; ``patches``: SISC.
        flip: average with the mirrored image's (or each mirrored patch's) prediction.
        patches: K patches per image (50 in MLSL's paper, 25 in its code).
        size: (width, height) of a patch: whole numbers are pixels of the input, fractions are of the input's size.
            Larger than the image means as large as the image.
        whole_image: the whole image's prediction counts as one more patch, as in MLSL's code; without it pixels that no
            patch covers become void.
        vote: what is averaged: ``probabilities``, or ``frequency``: each patch's hard decision (the paper's ablation).
        patches_at_once: patches in one pass through the network; changes speed and memory, not results.
        seed: of the patches' positions, together with the image's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["whole", "patches"] = "whole"
    flip: bool = False
    patches: PositiveInt = 50
    size: tuple[int, int] | tuple[float, float] = (512, 512)
    whole_image: bool = False
    vote: Literal["probabilities", "frequency"] = "probabilities"
    patches_at_once: PositiveInt = 4
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _makes_sense(self) -> LabelInference:
        if self.kind == "whole":
            unread = sorted(self.model_fields_set - {"kind", "flip"})
            changed = [key for key in unread if getattr(self, key) != type(self).model_fields[key].default]
            if changed:
                raise ValueError(f"{changed[0]} is only read with kind: patches")
        fractions = any(isinstance(side, float) for side in self.size)
        if min(self.size) <= 0 or (fractions and max(self.size) > 1):
            raise ValueError(
                f"size is (width, height), whole numbers of pixels or fractions above 0 and up to 1.0 of the image; "
                f"got {list(self.size)}"
            )
        return self

    @property
    def plain(self) -> bool:
        """Whether one pass over the whole image is all there is."""
        return self.kind == "whole" and not self.flip

    def identity(self) -> dict[str, object]:
        """The choices that change labels; empty for a plain pass."""
        return {} if self.plain else self.model_dump(mode="json", exclude={"patches_at_once"})

    def patch_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in pixels of the patches of an image."""
        across, down = self.size
        if isinstance(across, float) or isinstance(down, float):
            across, down = round(across * width), round(down * height)
        return min(max(1, int(down)), height), min(max(1, int(across)), width)


def patch_windows(inference: LabelInference, *, name: str, height: int, width: int) -> list[Window]:
    """Where an image's patches lie: a function of the seed and the image's name alone, the whole image first.

    Starts are uniform over all places where the patch fits; the published code leaves out the last row and column.
    """
    rows, columns = inference.patch_size(height, width)
    generator = np.random.default_rng([inference.seed, zlib.crc32(name.encode())])
    tops = generator.integers(height - rows + 1, size=inference.patches)
    lefts = generator.integers(width - columns + 1, size=inference.patches)
    whole: list[Window] = [(0, 0, height, width)] if inference.whole_image else []
    return whole + [(int(top), int(left), rows, columns) for top, left in zip(tops, lefts, strict=True)]


@torch.no_grad()
def averaged_probabilities(
    network: SegmentationNetwork, images: Tensor, *, names: Sequence[str], inference: LabelInference
) -> Tensor:
    """Mean class probabilities, (B, C, H, W) at the images' size; 0 for every class where no patch lies.

    Memory is that of one accumulator per image and ``patches_at_once`` patches, whatever K.

    Args:
        network: in evaluation mode.
        images: (B, 3, H, W) RGB in [0, 1].
        names: one per image; the patches' places follow from them.
        inference: flips, patches and votes.
    """
    if inference.kind == "whole":
        size = (images.shape[2], images.shape[3])
        return upsample(_probabilities(network, images, inference), size)
    return torch.stack(
        [_of_patches(network, image, name=name, inference=inference) for image, name in zip(images, names, strict=True)]
    )


def _of_patches(network: SegmentationNetwork, image: Tensor, *, name: str, inference: LabelInference) -> Tensor:
    height, width = image.shape[1:]
    counts = torch.zeros(height, width, device=image.device)
    summed: Tensor | None = None
    windows = patch_windows(inference, name=name, height=height, width=width)
    for group in _of_one_size(windows, inference.patches_at_once):
        rows, columns = group[0][2:]
        patches = torch.stack([image[:, top : top + rows, left : left + columns] for top, left, _, _ in group])
        found = upsample(_probabilities(network, patches, inference), (rows, columns))
        if summed is None:
            summed = torch.zeros(found.shape[1], height, width, device=image.device)
        for (top, left, _, _), part in zip(group, found, strict=True):
            place = slice(top, top + rows), slice(left, left + columns)
            counts[place] += 1
            if inference.vote == "frequency":
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


def _probabilities(network: SegmentationNetwork, images: Tensor, inference: LabelInference) -> Tensor:
    """(B, C, h, w) float32 at the network's stride, averaged with the mirrored images' if asked."""
    found: Tensor = network(images).logits.float().softmax(dim=1)
    if inference.flip:
        mirrored: Tensor = network(images.flip(3)).logits.float().softmax(dim=1).flip(3)
        found = (found + mirrored) / 2
    return found
