"""Fog from disparity: distances by hand, gaps, the sky, and the picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.detection.readers.fog import FAR, Camera, atmospheric_light, camera_of, distances, filled, with_fog
from acclimate.detection.registry import open_boxes
from acclimate.errors import UserError

CAMERA = Camera(baseline=0.2, fx=100.0, fy=50.0, u0=1.0, v0=2.0)


def test_distances_by_hand() -> None:
    raw = np.full((4, 3), 1 + 256 * 4, dtype=np.uint16)  # 4 pixels: 0.2 * 100 / 4 = 5 m along the axis
    found = distances(raw, CAMERA)
    assert found[2, 1] == pytest.approx(5.0)
    assert found[0, 2] == pytest.approx(5.0 * math.sqrt(1 + (1 / 100) ** 2 + (2 / 50) ** 2))


def test_what_is_unknown_is_filled_below_and_sky_above() -> None:
    raw = np.full((8, 8), 1 + 256 * 4, dtype=np.uint16)
    raw[:3, 2:5] = 0
    raw[5:7, 5] = 0
    found = distances(raw, CAMERA._replace(fx=1e6, fy=1e6, baseline=2e-5))
    assert (found[:3, 2:5] == FAR).all()
    np.testing.assert_allclose(np.delete(found, slice(2, 5), axis=1), 5.0, rtol=1e-4)
    # where the sky is known, an unknown pixel elsewhere is none
    known = distances(raw, CAMERA, sky=np.zeros((8, 8), dtype=bool))
    assert known.max() < 10


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (16, 9)])
def test_gaps_take_the_mean_of_the_square_around_them(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = rng.random(shape, dtype=np.float32) + 1
    known = rng.random(shape) < 0.3
    known[0, 0] = True
    result = filled(np.where(known, values, 0), known)
    np.testing.assert_array_equal(result[known], values[known])
    assert result.min() >= values[known].min() - 1e-6
    assert result.max() <= values[known].max() + 1e-6
    for row, column in zip(*np.nonzero(~known), strict=True):
        side = 2
        while True:  # the smallest of the nested squares that holds anything known
            square = np.s_[
                row // side * side : (row // side + 1) * side, column // side * side : (column // side + 1) * side
            ]
            if known[square].any():
                break
            side *= 2
        if side == 2:
            assert result[row, column] == pytest.approx(values[square][known[square]].mean(), rel=1e-5)


def test_the_light_is_the_haze_and_not_the_brightest_spot() -> None:
    image = np.full((60, 80, 3), 0.3, dtype=np.float32)
    image[:20] = 0.8
    image[5, 7] = (0.85, 0.8, 0.8)
    image[40, 40] = 1.0  # a lamp in the dark
    np.testing.assert_allclose(atmospheric_light(image), (0.85, 0.8, 0.8), rtol=1e-5)


def test_far_pixels_are_the_light_and_near_ones_the_picture() -> None:
    image = np.full((40, 40, 3), 60, dtype=np.uint8)
    image[:10] = 200
    distance = np.full((40, 40), FAR, dtype=np.float32)
    distance[20:] = 1e-6
    distance[30:] = 50.0
    seen = with_fog(image, distance, beta=0.02)
    assert (seen[:20] == 200).all()
    assert (seen[20:30] == 60).all()
    t = math.exp(-1)
    assert (seen[30:] == round(60 * t + 200 * (1 - t))).all()


def stereo(root: Path, *, sky: bool = True) -> str:
    name = "train/bonn/bonn_000000_000001"
    ids = np.full((40, 60), 7, dtype=np.uint16)
    ids[:10] = 23
    ids[20:30, 20:30] = 26000
    photo = np.full((40, 60, 3), 90, dtype=np.uint8)
    photo[:10] = 220
    disparity = np.full((40, 60), 1 + 256 * 8, dtype=np.uint16)
    disparity[:10] = 0
    camera = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2000.0, "fy": 2000.0, "u0": 30.0, "v0": 20.0}}
    for path, picture in (
        (f"leftImg8bit/{name}_leftImg8bit.png", photo),
        (f"disparity/{name}_disparity.png", disparity),
        (f"gtFine/{name}_gtFine_instanceIds.png", ids),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / path)
    where = root / f"camera/{name}_camera.json"
    where.parent.mkdir(parents=True)
    where.write_text(json.dumps(camera))
    return f"cityscapes:{root},fog=0.02"


def test_cityscapes_with_fog(tmp_path: Path) -> None:
    foggy, clear = open_boxes(stereo(tmp_path)), open_boxes(f"cityscapes:{tmp_path}")
    t = math.exp(-0.02 * 50)  # 0.2 * 2000 / 8 metres
    assert abs(int(foggy.image(0)[20, 30, 0]) - (90 * t + 220 * (1 - t))) <= 1
    assert foggy.image(0)[3, 3, 0] == 220
    assert foggy.boxes(0).corners.tolist() == clear.boxes(0).corners.tolist() == [[20, 20, 30, 30]]
    assert (
        len({foggy.fingerprint(), clear.fingerprint(), open_boxes(f"cityscapes:{tmp_path},fog=0.01").fingerprint()})
        == 3
    )


def test_what_fog_lacks_is_named(tmp_path: Path) -> None:
    spec = stereo(tmp_path)
    with pytest.raises(UserError, match="attenuation"):
        open_boxes(spec.replace("0.02", "dense"))
    next(tmp_path.rglob("*_camera.json")).write_text("{}")
    with pytest.raises(UserError, match=r"_camera\.json"):
        open_boxes(spec).image(0)
    next(tmp_path.rglob("*_disparity.png")).unlink()
    with pytest.raises(UserError, match=r"_disparity\.png"):
        open_boxes(spec)
    with pytest.raises(UserError, match="above 0"):
        camera_of(
            {"extrinsic": {"baseline": 0}, "intrinsic": dict.fromkeys(("fx", "fy", "u0", "v0"), 1.0)}, where=tmp_path
        )
