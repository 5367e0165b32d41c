"""Decoders, from the feature maps of any backbone to logits: every class in a file of this folder that has a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acclimate.errors import unknown
from acclimate.io.plugins import shipped
from acclimate.io.validation import validated
from acclimate.models.decoders.base import Decoder, DecoderOptions

__all__ = ["DECODERS", "Decoder", "DecoderOptions", "build_decoder", "decoder_options"]

DECODERS: dict[str, type[Decoder]] = shipped("acclimate.models.decoders", Decoder)  # type: ignore[type-abstract]
"""The decoders a network may have, by name."""


def decoder_options(name: str, values: Mapping[str, Any]) -> DecoderOptions:
    """The validated options of a decoder.

    Raises:
        UserError: there is no such decoder, or options are unknown or out of their range.
    """
    if name not in DECODERS:
        raise unknown("decoder", name, DECODERS)
    return validated(DECODERS[name].Options, values, f"decoder_options of {name}")


def build_decoder(
    name: str, channels: Sequence[int], strides: Sequence[int], classes: int, *, options: Mapping[str, Any]
) -> Decoder:
    """The decoder of that name over maps of these channels and strides.

    Raises:
        UserError: an unknown name or option, or maps that it cannot work on.
    """
    settled = decoder_options(name, options)
    return DECODERS[name](channels, strides, classes, options=settled)
