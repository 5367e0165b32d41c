"""Translators on disk, and pictures cut into tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.errors import UserError
from acclimate.training.schedule import Schedule
from acclimate.translation.apply import in_tiles, load_generator, save_translator, translated_image
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import CycleGanOptions, TranslationTraining, Writing


@pytest.mark.parametrize(("size", "tile", "overlap"), [((70, 150), 64, 16), ((64, 64), 64, 8), ((40, 200), 64, 31)])
def test_tiles_of_a_pointwise_function_give_the_whole(size: tuple[int, int], tile: int, overlap: int) -> None:
    pictures = torch.rand(1, 3, *size)
    sides: list[torch.Size] = []

    def function(part: torch.Tensor) -> torch.Tensor:
        sides.append(part.shape[-2:])
        return 1 - part**2

    assert torch.allclose(in_tiles(function, pictures, tile=tile, overlap=overlap), 1 - pictures**2, atol=1e-6)
    assert all(height <= tile and width <= tile for height, width in sides)


def test_where_tiles_overlap_they_fade_into_each_other() -> None:
    answers = iter([0.0, 1.0])
    pictures = torch.zeros(1, 3, 64, 112)
    result = in_tiles(lambda part: torch.full_like(part, next(answers)), pictures, tile=64, overlap=16)[0, 0, 0]
    assert result[:48].max() == 0
    assert result[64:].min() == 1
    assert (result[48:64].diff() > 0).all()


def test_too_much_overlap_is_the_users_error() -> None:
    with pytest.raises(UserError, match="overlap"):
        in_tiles(lambda part: part, torch.zeros(1, 3, 64, 64), tile=64, overlap=32)


def test_a_saved_translator_translates_as_before_in_both_directions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CycleGan(CycleGanOptions(width=4, blocks=1, discriminator_width=4), learning_rate=1e-3)
    for parameter in model.generators.parameters():
        nn.init.normal_(parameter, 0, 0.2)
    path = tmp_path / "translator.safetensors"
    save_translator(path, model, note={"seed": 0})
    image = np.random.default_rng(0).integers(0, 256, size=(33, 50, 3)).astype(np.uint8)
    results = []
    for direction in ("to target", "to source"):
        loaded = load_generator(path, direction=direction)
        expected = translated_image(model.generators[direction], image, Writing(), device="cpu")  # type: ignore[arg-type]
        results.append(translated_image(loaded, image, Writing(), device="cpu"))
        assert (results[-1] == expected).all()
    assert (results[0] != results[1]).any()


@pytest.mark.parametrize("writing", [Writing(), Writing(size=(24, 16)), Writing(tile=64, overlap=8)])
def test_sizes_are_preserved(tmp_path: Path, writing: Writing) -> None:
    model = CycleGan(CycleGanOptions(width=4, blocks=1, discriminator_width=4, residual=True), learning_rate=1e-3)
    image = np.random.default_rng(0).integers(0, 256, size=(70, 101, 3)).astype(np.uint8)
    result = translated_image(model.generators["to target"], image, writing, device="cpu")  # type: ignore[arg-type]
    assert result.shape == image.shape
    if writing.size is None:  # an untrained residual generator is the identity
        assert np.abs(result.astype(int) - image).max() <= 1


def test_another_file_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"damaged or of another program.*translate again"):
        load_generator(tmp_path / "model.safetensors")


def test_the_rate_is_constant_then_falls_linearly() -> None:
    settings = TranslationTraining(steps=10, schedule=Schedule(kind="linear", hold=0.6))
    assert [settings.learning_rate_factor(step) for step in (0, 5, 6, 7, 8, 9)] == pytest.approx(
        [1, 1, 1, 0.75, 0.5, 0.25]
    )
    assert TranslationTraining(steps=10, schedule=Schedule(kind="linear", hold=1.0)).learning_rate_factor(9) == 1
