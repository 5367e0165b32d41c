"""Backbones of timm: convolutional and hierarchical ones by stages, plain Vision Transformers by blocks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.errors import UserError, unknown
from acclimate.models.backbones.base import Backbone
from acclimate.models.preprocessing import PREPROCESSINGS, PreprocessingName
from acclimate.models.weights import downloaded, load_backbone

MAPS = 4
"""How many maps a plain Vision Transformer gives: after each quarter of its blocks."""

_REFUSALS = (TypeError, ValueError, NotImplementedError, RuntimeError, AssertionError, AttributeError)


def timm_backbone(name: str, *, output_stride: int | None, pretrained: bool, drop_path: float | None) -> Backbone:
    """The timm model of that name as a backbone.

    Args:
        name: timm's, with or without the tag of its weights (``vit_small_patch14_dinov2.lvd142m``).
        output_stride: 8, 16 or 32; None: the model's own.
        pretrained: fetch timm's weights.
        drop_path: rate of stochastic depth; None: timm's default.

    Raises:
        UserError: an unknown name, a model that has no feature maps or another stride, or weights that cannot be had.
    """
    import timm

    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    settings: dict[str, Any] = {} if drop_path is None else {"drop_path_rate": drop_path}
    try:
        kind, channels = _tried(name, output_stride)

        def create() -> Backbone:
            return kind(name, output_stride=output_stride, pretrained=pretrained, **settings)

        backbone = downloaded(f"timm/{name}", create) if pretrained else create()
        backbone.channels = list(channels)
        return backbone
    except _REFUSALS as error:
        if isinstance(error, UserError):
            raise
        at = "" if output_stride is None else f" at output stride {output_stride}"
        also = "a convolutional one" if output_stride else "leave drop_path out"
        raise UserError(
            f"timm/{name} cannot give feature maps{at} ({type(error).__name__}: {error}); choose another model, or "
            f"{also}"
        ) from error


class TimmStages(Backbone):
    """A convolutional or hierarchical model; its maps are its stages, its keys timm's below ``model.``."""

    def __init__(self, name: str, *, output_stride: int | None, pretrained: bool, **settings: Any) -> None:
        super().__init__()
        if output_stride is not None:
            settings["output_stride"] = output_stride
        self.model: nn.Module = _created(name, features_only=True, pretrained=pretrained, **settings)
        information: Any = self.model.feature_info
        self.channels, self.strides = list(information.channels()), list(information.reduction())
        if output_stride is not None and self.strides[-1] != output_stride:
            raise UserError(
                f"timm/{name} has stride {self.strides[-1]} whatever is asked, not {output_stride}; choose "
                "a model that can be dilated (resnet18, mobilenetv3_large_100, efficientnet_b0, ...)"
            )
        self.channels_last = "NHWC" in str(getattr(self.model, "output_fmt", ""))
        self.preprocessing = _preprocessing_of(name, self.model)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.model(images)
        return [features.permute(0, 3, 1, 2) for features in maps] if self.channels_last else list(maps)

    def depths(self) -> dict[str, int]:
        # stages are modules of their own, or the entries of one called blocks
        stages: dict[str, int] = {}
        found = {}
        for name, _ in self.named_parameters():
            parts = name.split(".")[1:]
            stage = ".".join(parts[:2]) if parts[0] == "blocks" else parts[0]
            found[name] = stages.setdefault(stage, len(stages))
        return found

    def undecayed(self) -> set[str]:
        return {name for name, _ in self.named_parameters() if name.endswith("relative_position_bias_table")}


class TimmTransformer(Backbone):
    """A plain Vision Transformer (ViT, DeiT, DINOv2, DINOv3, EVA ...); keys are timm's below ``model.``.

    Its maps are the tokens after each quarter of the blocks, all at the stride of its patches, with the final norm (as
    DINOv2 gives its intermediate layers). Positions are interpolated to the size of the images, whose sides must be
    multiples of the patch.
    """

    def __init__(self, name: str, *, output_stride: int | None, pretrained: bool, **settings: Any) -> None:
        super().__init__()
        settings |= {"num_classes": 0, "global_pool": "", "pretrained": pretrained}
        self.model: Any = _created(name, dynamic_img_size=True, **settings)
        patch = self.model.feature_info[-1]["reduction"]
        if output_stride not in (None, patch):
            raise UserError(
                f"timm/{name} is a plain Vision Transformer: it cannot give feature maps at output stride "
                f"{output_stride}, only at that of its patches, {patch}; choose another backbone, or leave "
                "output_stride out"
            )
        depth = len(self.model.feature_info)
        self.blocks = [depth * (number + 1) // MAPS - 1 for number in range(MAPS)]
        self.channels = [self.model.feature_info[block]["num_chs"] for block in self.blocks]
        self.strides = [patch] * MAPS
        self.preprocessing = _preprocessing_of(name, self.model)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.model.forward_intermediates(
            images, indices=self.blocks, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps

    def depths(self) -> dict[str, int]:
        # positions, tokens and the patches' projection below the first block, the final norm with the last one
        count = len(self.model.feature_info)
        found = {}
        for name, _ in self.named_parameters():
            part, number, *_ = [*name.split(".")[1:], "", ""]
            found[name] = int(number) + 1 if part == "blocks" else count if "norm" in part else 0
        return found

    def undecayed(self) -> set[str]:
        return {f"model.{name}" for name in self.model.no_weight_decay()} & {
            name for name, _ in self.named_parameters()
        }


def load_timm(backbone: Backbone, name: str, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Fills a backbone of timm with tensors under timm's names for the whole model, in any precision.

    Positions of another image size are interpolated; what only the classifier needs is left out.

    Raises:
        UserError: keys are missing, unexpected or of another shape; nothing has been copied then.
    """
    from timm.layers import resample_abs_pos_embed

    model: Any = backbone.model
    expected = model.state_dict()
    with torch.device("meta"):
        known = set(_created(name, pretrained=False).state_dict())
    renamed = {}
    for key, value in tensors.items():
        first, _, rest = key.partition(".")
        # timm's lists of feature maps join the first two parts of a name: stages.0.norm is stages_0.norm
        own = key if key in expected else f"{first}_{rest}"
        if own not in expected and key in known:
            continue
        if own.endswith("pos_embed") and own in expected and value.ndim == 3 and value.shape != expected[own].shape:
            size = [round((expected[own].shape[1] - model.num_prefix_tokens) ** 0.5)] * 2
            value = resample_abs_pos_embed(value.float(), size, num_prefix_tokens=model.num_prefix_tokens)
        renamed[own if own in expected else key] = value
    load_backbone(model, renamed, where=where)


def _created(name: str, **settings: Any) -> Any:
    """timm's model, for images of any size where it can be told so."""
    import timm

    if "swin" in name:
        settings["strict_img_size"] = False
        settings.pop("dynamic_img_size", None)
    try:
        return timm.create_model(name, **settings)
    except TypeError:
        if settings.pop("dynamic_img_size", None) is None:
            raise
        return timm.create_model(name, **settings)


@lru_cache(maxsize=64)
def _tried(name: str, output_stride: int | None) -> tuple[type[TimmStages] | type[TimmTransformer], tuple[int, ...]]:
    """Which kind of backbone a model is, and the channels of its maps, found on the meta device.

    Raises:
        UserError: it works on images of one size only.
    """
    with torch.device("meta"):
        model = _created(name, pretrained=False)
        kind = TimmTransformer if _is_plain(model) else TimmStages
        trial = kind(name, output_stride=output_stride, pretrained=False).eval()
        side = max(trial.strides)
        try:
            maps = trial(torch.zeros(1, 3, 5 * side, 3 * side))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UserError(
                f"timm/{name} cannot look at images of {3 * side}x{5 * side} pixels ({error}): it is made for one "
                "size; choose another model"
            ) from error
    return kind, tuple(features.shape[1] for features in maps)


def _is_plain(model: nn.Module) -> bool:
    """Whether all blocks of a model work on one grid of patches."""
    information = getattr(model, "feature_info", None)
    if not isinstance(information, list) or not hasattr(model, "forward_intermediates") or not hasattr(model, "blocks"):
        return False
    return len({item["reduction"] for item in information}) == 1 and len(information) >= MAPS


def _preprocessing_of(name: str, model: nn.Module) -> PreprocessingName:
    """The preprocessing that timm names for a model; ImageNet's where it names none."""
    configuration: Any = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if not configuration.get("mean") or not configuration.get("std"):
        return "imagenet"
    mean, std = tuple(configuration["mean"]), tuple(configuration["std"])
    for known, constants in PREPROCESSINGS.items():
        if (mean, std) == (constants.mean, constants.std):
            return known
    raise UserError(
        f"timm/{name} expects images with mean {mean} and deviation {std}, which none of the preprocessings "
        f"{', '.join(PREPROCESSINGS)} is; choose another backbone"
    )
