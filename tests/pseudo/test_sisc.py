"""SISC against the closed form on a network that knows nothing but positions, and what no patch covers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acclimate.evaluation.inference import Inference
from acclimate.models.network import Level, Output, SegmentationNetwork
from acclimate.models.resize import upsample
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.sisc import LabelInference, Patches, low_probabilities, patch_windows
from acclimate.pseudo.thresholds import Selection


def averaged_probabilities(network: SegmentationNetwork, images: Tensor, **how: Any) -> Tensor:
    """Of whole images or patches, enlarged to the images' size: (B, C, H, W)."""
    low = low_probabilities(network, images, **how)
    return low if low.shape[2:] == images.shape[2:] else upsample(low, (images.shape[2], images.shape[3]))


class PositionNetwork(nn.Module):
    """Two classes; the probability of the second rises linearly over the columns of whatever it is shown.

    Its output has the input's size, so that P_1(y, x) = (x + 1) / (w + 2) in a patch of width w, wherever it was cut.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Output:
        self.batches.append(len(images))
        width = images.shape[3]
        share = ((torch.arange(width) + 1.0) / (width + 2.0)).expand(len(images), 1, images.shape[2], width)
        return Output({"main": Level(torch.cat([(1 - share).log(), share.log()], dim=1))})


def averaged(inference: LabelInference, *, height: int = 12, width: int = 20, name: str = "a") -> np.ndarray:
    images = torch.zeros(1, 3, height, width)
    how = {"inference": inference.views(size=None), "patches": inference.in_patches()}
    found = averaged_probabilities(PositionNetwork(), images, names=[name], **how)  # type: ignore[arg-type]
    return found[0].numpy()


@pytest.mark.parametrize("whole_image", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("vote", ["probabilities", "frequency"])
def test_the_average_over_patches_has_its_closed_form(whole_image: bool, flip: bool, vote: str) -> None:
    inference = LabelInference.model_validate(
        {"kind": "patches", "patches": 7, "size": [8, 6], "whole_image": whole_image, "flip": flip, "vote": vote}
    )
    windows = patch_windows(inference, name="a", height=12, width=20)
    assert len(windows) == 7 + whole_image
    expected = np.zeros((2, 12, 20))
    for y in range(12):
        for x in range(20):
            seen = []
            for top, left, height, width in windows:
                if top <= y < top + height and left <= x < left + width:
                    share = (x - left + 1) / (width + 2)
                    if flip:
                        share = (share + (width - (x - left)) / (width + 2)) / 2
                    seen.append(share if vote == "probabilities" else float(share > 0.5))
            if seen:
                expected[:, y, x] = 1 - np.mean(seen), np.mean(seen)
    found = averaged(inference)
    # flipped shares are equal up to rounding: which class a hard vote takes is not decided by the formula
    exact = (slice(None),) if not (flip and vote == "frequency") else (np.zeros(2, dtype=bool),)
    np.testing.assert_allclose(found[exact], expected[exact], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), expected.sum(axis=0), atol=1e-6)


def test_uncovered_pixels_become_void_and_never_a_class() -> None:
    inference = LabelInference(kind="patches", patches=2, size=(6, 5))
    covered = np.zeros((12, 20), dtype=bool)
    for top, left, height, width in patch_windows(inference, name="a", height=12, width=20):
        covered[top : top + height, left : left + width] = True
    assert 0 < covered.mean() < 0.5
    assert np.isfinite(averaged(inference)).all()
    for factor in (1, 2):
        maps = Scoring(Selection(), patches=inference.in_patches()).score(
            PositionNetwork(),  # type: ignore[arg-type]
            torch.zeros(1, 3, 12, 20),
            names=["a"],
            size=(12 * factor, 20 * factor),
        )
        void = maps.prediction[0].numpy() == 255
        if factor == 1:
            assert (void == ~covered).all()
        assert void.mean() == pytest.approx(1 - covered.mean(), abs=0.07)
        for uncertainty in maps.uncertainty.values():
            assert (uncertainty[0].isnan().numpy() == void).all()
            assert float(uncertainty[~uncertainty.isnan()].max()) <= 1.0


def test_patches_depend_on_seed_and_image_alone() -> None:
    inference = LabelInference(kind="patches", patches=9, size=(8, 6), patches_at_once=2)
    first = patch_windows(inference, name="a", height=12, width=20)
    assert first == patch_windows(inference, name="a", height=12, width=20)
    assert first != patch_windows(inference, name="b", height=12, width=20)
    other = inference.model_copy(update={"seed": 1})
    assert first != patch_windows(other, name="a", height=12, width=20)
    network = PositionNetwork()
    how = {"names": ["a"], "inference": Inference(), "patches": inference.in_patches()}
    few = averaged_probabilities(network, torch.zeros(1, 3, 12, 20), **how)  # type: ignore[arg-type]
    assert network.batches == [2, 2, 2, 2, 1], "patches go through the network in batches of the given size"
    many = averaged(inference.model_copy(update={"patches_at_once": 50}))
    np.testing.assert_allclose(few[0].numpy(), many, atol=1e-6)


class SeeingNetwork(nn.Module):
    """Two classes; the probability of the second is the pixel's red."""

    def forward(self, images: Tensor) -> Output:
        red = images[:, :1].clamp(0.01, 0.99)
        return Output({"main": Level(torch.cat([(1 - red).log(), red.log()], dim=1))})


def test_shifted_patches_say_what_lies_above_and_to_the_left() -> None:
    """MLSL's code: a patch at (y, x) is cut at (y - 4, x - 4), so its labels lie 4 pixels low and right."""
    image = torch.rand(1, 3, 30, 40)
    inference = LabelInference(kind="patches", patches=30, size=(16, 12), shift=4)
    how = {"names": ["a"], "inference": Inference(), "patches": inference.in_patches()}
    found = averaged_probabilities(SeeingNetwork(), image, **how)[0, 1]  # type: ignore[arg-type]
    rows, columns = (torch.arange(30) - 4).clamp(min=0), (torch.arange(40) - 4).clamp(min=0)
    expected = image[0, 0][rows][:, columns].clamp(0.01, 0.99)
    covered = found > 0
    assert covered.float().mean() > 0.8
    assert torch.allclose(found[covered], expected[covered], atol=1e-6)


def test_every_place_is_reached_by_some_patch() -> None:
    inference = LabelInference(kind="patches", patches=400, size=(2, 2))
    covered = np.zeros((5, 7), dtype=bool)
    for top, left, height, width in patch_windows(inference, name="a", height=5, width=7):
        covered[top : top + height, left : left + width] = True
    assert covered.all(), "the last row and column are covered too, unlike with the published bound"


def test_uncovered_share_of_the_published_setting() -> None:
    """K patches of 512x512 on 1024x2048 leave about 22, 13 and 7.6 % uncovered (expected shares, uniform starts)."""
    for patches, share in ((25, 0.22), (50, 0.13), (100, 0.076)):
        inference = LabelInference(kind="patches", patches=patches)
        found = []
        for image in range(40):
            covered = np.zeros((1024, 2048), dtype=bool)
            for top, left, height, width in patch_windows(inference, name=str(image), height=1024, width=2048):
                covered[top : top + height, left : left + width] = True
            found.append(1 - covered[::8, ::8].mean())
        assert np.mean(found) == pytest.approx(share, abs=0.02)


def test_sizes_are_pixels_or_fractions() -> None:
    assert LabelInference(kind="patches", size=(0.5, 0.25)).patch_size(100, 200) == (25, 100)
    assert LabelInference(kind="patches", size=(512, 512)).patch_size(100, 600) == (100, 512)
    with pytest.raises(ValueError, match="fractions"):
        LabelInference(kind="patches", size=(1.5, 0.5))
    with pytest.raises(ValueError, match="kind: patches"):
        LabelInference(patches=25)


def test_without_patches_and_flips_nothing_changes() -> None:
    images = torch.zeros(1, 3, 12, 20)
    network = PositionNetwork()
    common = {"names": ["a"], "size": (24, 40)}
    plain = Scoring(Selection()).score(network, images, **common)  # type: ignore[arg-type]
    covering = Patches(patches=1, size=(1.0, 1.0))
    once = Scoring(Selection(), patches=covering).score(network, images, **common)  # type: ignore[arg-type]
    assert (plain.prediction == once.prediction).all()
    torch.testing.assert_close(plain.uncertainty["entropy"], once.uncertainty["entropy"], atol=1e-5, rtol=0)


def test_scales_are_averaged_at_the_images_size() -> None:
    """By hand: with P(x) = (x + 1) / (w + 2), a width of 20 and of 10, whose 10 columns are spread over the 20."""
    inference = LabelInference(scales=(1.0, 0.5)).views(size=None)
    found = averaged_probabilities(
        PositionNetwork(),  # type: ignore[arg-type]
        torch.zeros(1, 3, 12, 20),
        names=["a"],
        inference=inference,
        patches=None,
    )
    columns = np.arange(20)
    expected = ((columns + 1) / 22 + (columns * 9 / 19 + 1) / 12) / 2
    np.testing.assert_allclose(found[0, 1], np.broadcast_to(expected, (12, 20)), atol=1e-6)
