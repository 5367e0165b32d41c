"""What a network is made of, as a recipe writes it and a checkpoint remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from acclimate.errors import UserError, unknown
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.preprocessing import PreprocessingName

HeadName: TypeAlias = Literal["aspp", "small-aspp"]


class NetworkConfig(BaseModel):
    """A network's name and its options; None leaves an option at the network's own default.

    Which options a network has, and their defaults, is written in :data:`acclimate.models.registry.NETWORKS`; an option
    that the named network does not have is an error, never ignored.

    Attributes:
        name: a key of ``NETWORKS``.
        multi_level: add an auxiliary head on the mid-level features (AdaptSegNet, ADVENT).
        batch_norm: what batch norm does, see :mod:`acclimate.models.batch_norm`.
        batch_norm_epsilon: what batch norms that use running statistics add to the variance; 0 is FADA's frozen
            batch norm, which adds nothing (network ``deeplab-v2`` only).
        weights: where the backbone's weights come from: ``imagenet`` (torchvision's or timm's, downloaded once),
            ``imagenet-v1`` (torchvision's first, those of most papers), the path of a safetensors file, or None for
            random ones.
        backbone: ``torchvision/NAME``, ``timm/NAME`` (network ``deeplab-v2`` only).
        output_stride: input pixels per output position, 8 or 16.
        width: channels of the first convolution (network ``small`` only).
        head: ``aspp`` as published, or ``small-aspp`` which first reduces the features to ``head_channels``.
        head_channels: channels between the two layers of ``small-aspp``.
        rates: dilation rates of the head's parallel convolutions.
        branches: how many of these are summed; 2 reproduces checkpoints of code that returned too early.
        head_learning_rate_multiple: learning rate of the heads relative to the body's.
        preprocessing: what is subtracted from the image, see :mod:`acclimate.models.preprocessing`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    multi_level: bool = False
    batch_norm: BatchNormSetting | None = None
    batch_norm_epsilon: float | None = Field(default=None, ge=0, le=0.1)
    weights: str | None = None
    backbone: str | None = None
    output_stride: Literal[8, 16] | None = None
    width: int | None = Field(default=None, ge=4, le=512)
    head: HeadName | None = None
    head_channels: int | None = Field(default=None, ge=1)
    rates: tuple[int, ...] | None = Field(default=None, min_length=1)
    branches: int | None = Field(default=None, ge=1, le=4)
    head_learning_rate_multiple: float | None = Field(default=None, gt=0)
    preprocessing: PreprocessingName | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    raise unknown("network option", str(key), cls.model_fields)
        return values

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "network") -> NetworkConfig:
        """The config that a mapping of options describes.

        Args:
            values: option name -> value, with at least ``name``.
            where: what to call the mapping in the error: a recipe's key or a file.

        Raises:
            UserError: an unknown option (with the nearest known one) or a value that an option cannot take.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UserError(f"{where}: {problems(error)}") from error

    def set_options(self) -> dict[str, Any]:
        """The options, other than the name, whose value differs from what leaving them out means."""
        return {key: value for key, value in self if key != "name" and value != type(self).model_fields[key].default}


def problems(error: ValidationError) -> str:
    """The content of a pydantic error in one line: ``key: what is wrong`` joined by semicolons."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{key}: {message}" if key else message)
    return "; ".join(lines)
