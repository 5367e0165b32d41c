"""What a decoder is: feature maps in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from acclimate.errors import UserError

FINEST = 4
"""Input pixels per position of the finest map that pyramids are made of."""


class DecoderOptions(BaseModel):
    """The options of a decoder; every decoder that has any has a subclass of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Decoder(nn.Module, ABC):
    """Feature maps of a backbone to logits.

    Args:
        channels: of each map.
        strides: input pixels per position of each map.
        classes: number of classes C.
        options: an instance of ``Options``.

    Attributes:
        name: how recipes call it.
        summary: one line for a person choosing.
        stride: input pixels per position of the logits; a fraction where patches of 14 pixels are divided by 4.
        multiple: what the sides of the coarsest map must be multiples of.
        embedding_channels: of the features before the classifier, where these are the network's features; None where
            those are the backbone's.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[DecoderOptions]] = DecoderOptions
    stride: float
    multiple: int = 1
    embedding_channels: int | None = None

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: Any) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits (B, C, h, w) of the maps (B, channels[i], h_i, w_i)."""

    def embedded(self, features: list[Tensor]) -> Tensor:
        """The features before the classifier, (B, embedding_channels, h, w), of a decoder that has them."""
        raise NotImplementedError

    def classified(self, embedding: Tensor) -> Tensor:
        """Logits of :meth:`embedded`."""
        raise NotImplementedError

    def pyramid(self, strides: Sequence[int], *, levels: int = 4) -> list[int]:
        """Which maps make a pyramid: the last ones that are not finer than stride 4.

        Raises:
            UserError: there are too few.
        """
        chosen = [number for number, stride in enumerate(strides) if stride >= FINEST][-levels:]
        if len(chosen) < levels:
            raise UserError(
                f"the decoder {self.name!r} needs {levels} maps at stride {FINEST} or more, but the backbone gives "
                f"maps at strides {list(strides)}; choose another backbone or decoder"
            )
        return chosen


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of maps (B, C, h, w)."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def normed(convolution: nn.Module, channels: int) -> nn.Sequential:
    """A convolution (without bias) with batch norm and ReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def pointwise(in_channels: int, channels: int) -> nn.Sequential:
    """A 1x1 convolution with batch norm and ReLU."""
    return normed(nn.Conv2d(in_channels, channels, kernel_size=1, bias=False), channels)


def separable(in_channels: int, channels: int, *, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution, each with batch norm and ReLU."""
    depthwise = nn.Conv2d(
        in_channels, in_channels, kernel_size=3, padding=dilation, dilation=dilation, groups=in_channels, bias=False
    )
    return nn.Sequential(*normed(depthwise, in_channels), *pointwise(in_channels, channels))
