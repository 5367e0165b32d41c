"""HRDA: the whole picture coarsely and a part of it finely, fused by a learned attention (Hoyer et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from acclimate.errors import UserError
from acclimate.models.decoders import Decoder, build_decoder
from acclimate.models.encoder_decoder import EncoderDecoder, EncoderDecoderOptions
from acclimate.models.network import MAIN, Level, Output, Region
from acclimate.models.padding import cut, padded
from acclimate.precision import full_precision

DETAIL = "detail"
"""The level of the detail crop alone."""


class HRDAOptions(EncoderDecoderOptions):
    """Those of ``encoder-decoder``, and how the two scales are cut and fused.

    Attributes:
        detail: (width, height) in pixels of what is seen at full scale at once (512x512 published).
        reduction: by how much the whole picture is reduced for its context (2 published).
        detail_weight: lambda_d, weight of the detail's own cross-entropy; the fused prediction has the rest (0.1
            published).
        attention: ``learned`` by a second decoder on the context's features, a map for each class; ``single``, one map
            for all; ``fixed``, 0.5 everywhere.
        attention_decoder: the decoder that learns it (SegFormer's published).
        overlap: detail windows over the whole picture overlap by half.
    """

    learning = EncoderDecoderOptions.learning | {"detail_weight"}

    detail: tuple[PositiveInt, PositiveInt] = (512, 512)
    reduction: int = Field(default=2, ge=2)
    detail_weight: float = Field(default=0.1, ge=0.0, le=1.0)
    attention: Literal["learned", "single", "fixed"] = "learned"
    attention_decoder: str = "segformer"
    overlap: bool = True

    @model_validator(mode="after")
    def _one_head(self) -> Self:
        if self.multi_level:
            raise ValueError("multi_level: the second level of hrda is its detail; leave it out")
        return self


class HRDA(EncoderDecoder):
    """One encoder and decoder at two scales, and an attention that says for each class and place which to believe.

    A pass that records gradients sees one random detail crop, the same for the whole batch, because the graph of more
    would not fit into memory. A pass without, that of a teacher or of an evaluation, sees windows over the whole
    picture. The features of the main level are the context's.
    """

    name = "hrda"
    summary = "an encoder and decoder at two scales, fused by a learned attention (HRDA)"
    Options = HRDAOptions
    options: HRDAOptions

    def __init__(self, options: HRDAOptions, classes: int) -> None:
        super().__init__(options, classes)
        self.grid = grid_of(self.stride, options.reduction)
        self.part = math.lcm(self.multiple, self.grid)
        if any(side % self.part for side in options.detail):
            raise UserError(
                f"network.detail is {list(options.detail)}, but this backbone and decoder need multiples of "
                f"{self.part} pixels, such as {[round_up(side, self.part) for side in options.detail]}"
            )
        self.attention: Decoder | None = None
        if options.attention != "fixed":
            maps = 1 if options.attention == "single" else classes
            self.attention = build_decoder(
                options.attention_decoder, self.backbone.channels, self.backbone.strides, maps, options={}
            )
            self.finish()

    def features_of(self, images: Tensor) -> Tensor:
        images, size, whole = self._prepared(self.preprocessing(images))
        last = self.maps(self._reduced(images))[-1]
        return cut(last, size, stride=whole[0] / last.shape[2])

    def segment(self, images: Tensor) -> Output:
        images, size, whole = self._prepared(images)
        fine = (round(whole[0] / self.stride), round(whole[1] / self.stride))
        maps = self.maps(self._reduced(images))
        context = full_precision(self.decoder(maps))
        attention = self._attention(maps, (context.shape[2], context.shape[3]))
        detail_size = (self.options.detail[1], self.options.detail[0])
        levels = {}
        if torch.is_grad_enabled():
            region = detail_region(size, whole, detail_size, multiple=self.grid)
            crop = full_precision(self.decoder(self.maps(region.of(images))))
            detail, attention = inserted(crop, attention, on_grid(region, self.stride), fine)
            visible = Region(
                region.top,
                region.left,
                min(region.height, size[0] - region.top),
                min(region.width, size[1] - region.left),
            )
            logits = cut(crop, (visible.height, visible.width), stride=self.stride)
            levels[DETAIL] = Level(logits, weight=self.options.detail_weight, region=visible)
        else:
            windows = detail_windows(whole, detail_size, multiple=self.grid, overlap=self.options.overlap)
            logits_of = (
                (on_grid(window, self.stride), self.decoder(self.maps(window.of(images)))) for window in windows
            )
            detail = averaged(logits_of, fine)
        main = Level(
            cut(fused(context, detail, attention), size, stride=self.stride),
            cut(maps[-1], size, stride=whole[0] / maps[-1].shape[2]),
            weight=1 - self.options.detail_weight,
        )
        return Output({MAIN: main, **levels})

    def heads(self) -> list[nn.Module]:
        return [self.decoder] if self.attention is None else [self.attention, self.decoder]

    def _prepared(self, images: Tensor) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
        """Preprocessed images padded until the grids of both scales fit, their size before and after."""
        size = (images.shape[2], images.shape[3])
        images = padded(images, math.lcm(self.part, self.options.reduction * self.multiple))
        return images, size, (images.shape[2], images.shape[3])

    def _reduced(self, images: Tensor) -> Tensor:
        scale = 1 / self.options.reduction
        return functional.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)

    def _attention(self, maps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """(B, C or 1, h, w) in [0, 1] on the grid (h, w)."""
        if self.attention is None:
            return torch.full((maps[-1].shape[0], 1, *grid), 0.5, device=maps[-1].device)
        attention = full_precision(self.attention(maps)).sigmoid()
        if tuple(attention.shape[2:]) == grid:
            return attention
        return functional.interpolate(attention, size=grid, mode="bilinear", align_corners=False)


def grid_of(stride: float, reduction: int) -> int:
    """Pixels per position of the context's logits, of which the places of crops have to be multiples (8 published).

    Raises:
        UserError: it is no whole number.
    """
    pixels = stride * reduction
    if pixels != int(pixels):
        raise UserError(
            f"network.reduction={reduction}: with logits at every {stride:g} pixels, the two scales of hrda have no "
            f"common grid; take a multiple of {(1 / (stride % 1)):g}"
        )
    return int(pixels)


def round_up(side: int, multiple: int) -> int:
    """The smallest multiple that is not below ``side``."""
    return -(-side // multiple) * multiple


def detail_region(size: tuple[int, int], whole: tuple[int, int], detail: tuple[int, int], *, multiple: int) -> Region:
    """A random crop whose place is a multiple of some pixels, so that the grids of both scales agree.

    It lies within the image where the image is large enough, and else reaches into the padding.

    Args:
        size: (H, W) of the image.
        whole: the same with its padding.
        detail: (height, width) of the crop.
        multiple: of its top and left in pixels; drawn from torch's generator.
    """
    height, width = min(detail[0], whole[0]), min(detail[1], whole[1])
    top, left = (
        multiple * int(torch.randint(0, max(0, side - part) // multiple + 1, (), device="cpu").item())
        for side, part in ((size[0], height), (size[1], width))
    )
    return Region(top, left, height, width)


def detail_windows(
    whole: tuple[int, int], detail: tuple[int, int], *, multiple: int, overlap: bool = True
) -> list[Region]:
    """Windows that cover a padded image, each half a window from the next, the last ones at its border.

    Args:
        whole: (H, W), multiples of ``multiple``.
        detail: (height, width) of a window, also multiples.
        multiple: of the windows' places in pixels.
        overlap: else each window begins where the one before ends.
    """
    height, width = min(detail[0], whole[0]), min(detail[1], whole[1])

    def starts(side: int, part: int) -> list[int]:
        step = max(multiple, part // 2 // multiple * multiple) if overlap else part
        return [*range(0, side - part, step), side - part]

    return [Region(top, left, height, width) for top in starts(whole[0], height) for left in starts(whole[1], width)]


def on_grid(region: Region, stride: float) -> Region:
    """A region of whole positions, in positions of ``stride`` pixels."""
    return Region(*(round(pixels / stride) for pixels in region))


def inserted(crop: Tensor, attention: Tensor, place: Region, fine: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The crop's logits within zeros of the fine grid, and the attention with zeros outside the crop.

    Args:
        crop: (B, C, height, width) logits.
        attention: (B, C or 1, h, w) on the coarse grid.
        place: of the crop, in positions of the fine grid.
        fine: (H, W) of that grid, a multiple of the coarse one.
    """
    detail = crop.new_zeros(*crop.shape[:2], *fine)
    detail[..., place.top : place.top + place.height, place.left : place.left + place.width] = crop
    ratio = fine[0] // attention.shape[2]
    coarse = on_grid(place, ratio)
    mask = torch.zeros_like(attention)
    coarse.of(mask).fill_(1.0)
    return detail, attention * mask


def averaged(logits: Iterable[tuple[Region, Tensor]], fine: tuple[int, int]) -> Tensor:
    """The mean over windows at every position of the fine grid, (B, C, H, W); every position lies in one."""
    total: Tensor | None = None
    count = torch.zeros(1)
    for place, values in logits:
        if total is None:
            total = full_precision(values.new_zeros(*values.shape[:2], *fine))
            count = total.new_zeros(1, 1, *fine)
        place.of(total).add_(values)
        place.of(count).add_(1)
    assert total is not None, "there is at least one window"
    return total / count


def fused(context: Tensor, detail: Tensor, attention: Tensor) -> Tensor:
    """HRDA eq. 9: up((1 - a) z_context) + up(a) z_detail, (B, C, H, W).

    Args:
        context: (B, C, h, w) logits.
        detail: (B, C, H, W) logits on the fine grid.
        attention: (B, C or 1, h, w), how much the detail counts; 0 where there is none.
    """
    size = (detail.shape[2], detail.shape[3])

    def up(maps: Tensor) -> Tensor:
        return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)

    return up((1 - attention) * context) + up(attention) * detail
