"""A trained generator over pictures of any size, and the file it is kept in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from acclimate.data.sample import Image
from acclimate.data.transforms import resized, to_tensor
from acclimate.errors import UserError
from acclimate.io.tensors import read_tensors_with_card, write_tensors
from acclimate.models.cyclegan import GENERATOR_STRIDE, ResnetGenerator
from acclimate.translation.cyclegan import CycleGan, generator_of
from acclimate.translation.settings import CycleGanOptions, Writing

_KEY = "acclimate-translator"


def save_translator(path: Path, translator: CycleGan, *, note: dict[str, Any]) -> None:
    """Writes both generators to one safetensors file whose header holds their options and ``note``, atomically."""
    card = {"format": 1, "options": translator.options.model_dump(mode="json"), **note}
    write_tensors(path, translator.generators.state_dict(), key=_KEY, card=card)


def load_generator(path: Path, *, direction: str = "to target", device: str = "cpu") -> ResnetGenerator:
    """One generator of a file that :func:`save_translator` wrote, in evaluation mode.

    Args:
        path: the file.
        direction: ``to target`` or ``to source``.
        device: where it goes.

    Raises:
        UserError: the file is missing, damaged or holds something else.
    """
    prefix = f"{direction}."
    remedy = "delete it and translate again, or give a translator.safetensors that `acclimate translate` wrote"
    card, everything = read_tensors_with_card(path, key=_KEY, remedy=remedy)
    tensors = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}
    try:
        options = CycleGanOptions.model_validate(card["options"])
        with torch.random.fork_rng(devices=[]):
            generator = generator_of(options)
        generator.load_state_dict(tensors)
    except (KeyError, RuntimeError, ValidationError) as error:
        raise UserError(f"{path} is no translator ({error}); {remedy}") from error
    return generator.to(device).eval()


def translated_image(generator: ResnetGenerator, image: Image, writing: Writing, *, device: str) -> Image:
    """An RGB image in the other look, at its own size."""
    seen = image if writing.size is None else resized(image, writing.size)
    pictures = to_tensor(seen)[None].to(device)
    with torch.no_grad():
        if writing.tile is None:
            result = generator.translate(pictures)
        else:
            result = in_tiles(generator.translate, pictures, tile=writing.tile, overlap=writing.overlap)
    array = (result[0].float() * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return resized(array, (image.shape[1], image.shape[0]))


def in_tiles(function: Callable[[Tensor], Tensor], pictures: Tensor, *, tile: int, overlap: int) -> Tensor:
    """``function`` of square tiles put together again, neighbours blended linearly where they overlap.

    Args:
        function: of pictures (B, 3, h, w), size preserving.
        pictures: (B, 3, H, W).
        tile: side of a tile in pixels; sides of the picture that are shorter are not cut.
        overlap: pixels that neighbours share at least; below half of ``tile``.
    """
    if 2 * overlap >= tile:
        raise UserError(f"writing.overlap is {overlap}, but tiles of {tile} pixels can share less than {tile // 2}")
    height, width = pictures.shape[-2:]
    total, weights = torch.zeros_like(pictures), torch.zeros_like(pictures[:, :1])
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            window = (..., slice(top, top + tile), slice(left, left + tile))
            result = function(pictures[window])
            ramp = _ramp(result.shape[-2], overlap)[:, None] * _ramp(result.shape[-1], overlap)[None, :]
            ramp = ramp.to(result)
            total[window] += ramp * result
            weights[window] += ramp
    return total / weights


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    step = (tile - overlap) // GENERATOR_STRIDE * GENERATOR_STRIDE
    return [*range(0, length - tile, step), length - tile]


def _ramp(length: int, overlap: int) -> Tensor:
    position = torch.arange(length, dtype=torch.float32)
    return torch.minimum(position + 1, length - position).clamp(max=overlap + 1)
