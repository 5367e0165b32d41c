"""`acclimate stats --spatial-priors`: counted where a run looks, drawn for who asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.cli.data import stats_command
from acclimate.data.registry import open_dataset
from acclimate.data.spatial_prior import spatial_prior
from acclimate.errors import UserError
from acclimate.report.colour import entropy_colours
from acclimate.report.spatial_priors import COLUMNS, write_prior_picture

SPEC = "scenes:render,images=3,size=64x32"


def test_a_run_finds_the_priors_that_stats_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "priors.png"
    stats_command(SPEC, split="train", class_space=None, spatial_priors=picture, store=tmp_path / "store")
    dataset = open_dataset(SPEC, split="train")
    counted = spatial_prior(dataset)
    monkeypatch.setattr(type(dataset), "label", lambda *_: pytest.fail("the labels were read again"))
    np.testing.assert_array_equal(spatial_prior(dataset, tmp_path / "store" / "cache"), counted)
    assert Image.open(picture).width > 64


def test_each_class_has_its_panel_bright_where_the_class_lies(tmp_path: Path) -> None:
    prior = np.zeros((COLUMNS + 1, 128, 256), np.float32)
    prior[0, 64:] = 1  # the lower half
    prior[COLUMNS] = 1  # alone in the second row
    write_prior_picture(tmp_path / "priors.png", prior, ["road", "b", "c", "d", "sky"])
    picture = np.asarray(Image.open(tmp_path / "priors.png").convert("RGB"))
    never, always = entropy_colours()[[0, 255]]
    rows = np.flatnonzero((picture[:, 100] == always).all(axis=1))
    lower_half, whole = rows[:64], rows[64:]
    assert len(whole) == 128
    assert lower_half[-1] - lower_half[0] == 63
    assert whole[0] - lower_half[-1] > 1, "a caption lies between"
    assert (picture[:, 300] == never).all(axis=1).sum() == 128, "the second class is nowhere"


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"priors\.png"):
        stats_command(SPEC, split="train", class_space=None, spatial_priors=tmp_path / "priors.jpg", store=None)
