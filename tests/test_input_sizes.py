"""Pictures too small for a discriminator are found before anything trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.errors import UserError
from acclimate.models.discriminator import OutputDiscriminator
from acclimate.pipeline.recipe_run import opened
from acclimate.recipe.load import load_recipe

RECIPE = """\
name: tiny
about: tiny
network: {name: small, width: 8}
source: SPEC
target: SPEC
training: {steps: 2, batch_size: 1, TRANSFORMS}
stages:
  source-only: {train: source_only}
  METHOD: {train: METHOD}
"""


def written(folder: Path, *, sizes: list[tuple[int, int]], transforms: str, method: str = "advent") -> str:
    """A recipe over pictures of these sizes (width, height)."""
    for number, (width, height) in enumerate(sizes):
        for what, picture in (("images", np.zeros((height, width, 3))), ("labels", np.zeros((height, width)))):
            (folder / what).mkdir(exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(folder / what / f"{number}.png")
    (folder / "dataset.yaml").write_text("images: images\nlabels: labels\nclasses: [road, sky]\n")
    recipe = RECIPE.replace("SPEC", f"folder:{folder}").replace("TRANSFORMS", transforms).replace("METHOD", method)
    (folder / "recipe.yaml").write_text(recipe)
    return str(folder / "recipe.yaml")


@pytest.mark.parametrize("method", ["advent", "adaptsegnet"])
@pytest.mark.parametrize(
    ("sizes", "transforms", "blamed"),
    [
        ([(64, 48), (9, 9)], "", r"1 of folder:.* gives 9x9"),
        ([(64, 31)], "", "0 of folder:.* gives 64x31"),
        ([(64, 48)], "source_transform: {size: [33, 17]}", "source_transform gives 33x17"),
        ([(64, 48)], "target_transform: {crop: [64, 24]}", "target_transform gives 64x24"),
        ([(64, 48)], "target_transform: {size: [64, 48], scale: [0.5, 2.0]}", "target_transform gives 32x24"),
    ],
)
def test_what_is_too_small_is_named(
    sizes: list[tuple[int, int]], transforms: str, blamed: str, method: str, tmp_path: Path
) -> None:
    recipe = load_recipe(written(tmp_path, sizes=sizes, transforms=transforms or "log_every: 1", method=method))[0]
    with pytest.raises(
        UserError, match=rf"stages\.{method}: {method} takes pictures of at least 32x32 pixels, but {blamed}"
    ):
        opened(recipe)


@pytest.mark.parametrize("transforms", ["log_every: 1", "source_transform: {crop: [32, 32]}"])
def test_what_is_large_enough_passes(transforms: str, tmp_path: Path) -> None:
    opened(load_recipe(written(tmp_path, sizes=[(32, 32)], transforms=transforms))[0])


def test_methods_without_a_discriminator_take_anything(tmp_path: Path) -> None:
    opened(load_recipe(written(tmp_path, sizes=[(9, 9)], transforms="log_every: 1", method="minent"))[0])


def test_the_discriminator_takes_32_and_no_less() -> None:
    import torch

    discriminator = OutputDiscriminator(2, width=4)
    assert discriminator(torch.zeros(1, 2, 32, 32)).shape == (1, 1, 1, 1)
    with pytest.raises(RuntimeError):
        discriminator(torch.zeros(1, 2, 31, 32))
