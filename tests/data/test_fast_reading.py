"""``reading: fast``: how far pixels may differ, what is decoded smaller, and copies of it on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from acclimate.data.cache import cached
from acclimate.data.loading import batches
from acclimate.data.readers.files import read_image
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset
from acclimate.data.transforms import Reading, Resample, Transform, quickly_resized, resized
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError

NATIVE, SIZE = (256, 128), (48, 24)


def noise(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(100, 40), (150, 77), (401, 303), (198, 99)])
def test_the_quick_way_differs_by_two_levels_at_most_and_seldom(size: tuple[int, int], resample: Resample) -> None:
    """Of noise, the worst there is; most where sizes are nearly the same."""
    image = noise((200, 100))
    difference = np.abs(quickly_resized(image, size, resample).astype(int) - resized(image, size, resample))
    assert difference.shape == (size[1], size[0], 3)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.05


def test_images_that_may_not_be_written_to_are_resized_too() -> None:
    image = noise((20, 10))
    image.flags.writeable = False
    assert np.array_equal(quickly_resized(image, (10, 5)), quickly_resized(image.copy(), (10, 5)))
    assert quickly_resized(image, (20, 10)) is image


@pytest.mark.parametrize(
    ("native", "size", "decoded"),
    [
        ((800, 400), (50, 25), (100, 50)),  # an eighth
        ((800, 400), (51, 25), (200, 100)),  # an eighth would be less than twice as large
        ((800, 400), (300, 150), (800, 400)),
        ((800, 400), (90, 60), (400, 200)),  # its height decides
    ],
)
def test_jpegs_are_decoded_no_larger_than_needed(
    tmp_path: Path, native: tuple[int, int], size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(native)).save(path)
    assert read_image(path, reduced_for=size).shape == (decoded[1], decoded[0], 3)
    assert read_image(path).shape == (native[1], native[0], 3)
    Image.fromarray(noise(native)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", reduced_for=size), noise(native))


def test_a_turned_jpeg_is_reduced_the_right_way_round(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(noise((800, 400))).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (800, 400, 3)
    assert read_image(tmp_path / "a.jpg", reduced_for=(50, 100)).shape == (200, 100, 3)
    assert read_image(tmp_path / "a.jpg", reduced_for=(100, 50)).shape == (400, 200, 3)


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    scenes = ScenesDataset("camera", split="train", size=NATIVE)
    folder = tmp_path / "photos"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(4):
        Image.fromarray(scenes.image(number)).save(folder / "images" / f"{number}.jpg", quality=95)
        Image.fromarray(scenes.label(number)).save(folder / "labels" / f"{number}.png")
    names = ", ".join(scenes.class_space.classes)
    (folder / "dataset.yaml").write_text(f"images: images\nlabels: labels\nclasses: [{names}]\n")
    return open_dataset(f"folder:{folder}", split="train")


def first_batch(dataset: Dataset, reading: Reading, *, workers: int = 0) -> NDArray[np.float32]:
    transform = Transform(size=SIZE, reading=reading, flip=True)
    batch = next(batches(dataset, transform=transform, batch_size=4, seed=0, steps=1, workers=workers))
    assert batch.labels is not None
    assert batch.images.shape == (4, 3, 24, 48)
    assert batch.labels.shape == (4, 24, 48)
    return batch.images.numpy()


def test_fast_pictures_are_the_exact_ones_but_for_a_few_levels(photos: Dataset) -> None:
    exact, fast = first_batch(photos, "exact"), first_batch(photos, "fast")
    difference = 255 * np.abs(exact - fast)
    assert 0 < difference.mean() < 2
    assert np.percentile(difference, 99) < 16
    # not a pixel more than the decoder's smaller picture explains
    whole = first_batch(Subset(photos, range(4)), "fast")
    assert np.array_equal(whole, fast)


def test_a_copy_on_disk_is_of_its_own_reading(photos: Dataset, tmp_path: Path) -> None:
    store = tmp_path / "cache"
    readings: tuple[Reading, ...] = ("exact", "fast")
    for reading in readings:
        copy = cached(photos, size=SIZE, folder=store, reading=reading)
        assert np.array_equal(first_batch(copy, reading), first_batch(photos, reading))
        assert np.array_equal(first_batch(copy, reading, workers=1), first_batch(photos, reading))
    assert len(list(store.glob("*-images.npy"))) == 2
    damaged = next(iter(store.glob("*-images.npy")))
    content = bytearray(damaged.read_bytes())
    content[200] ^= 1
    damaged.write_bytes(content)
    for reading in readings:  # an item with a wrong checksum is made again the same way
        copy = cached(photos, size=SIZE, folder=store, reading=reading)
        assert np.array_equal(first_batch(copy, reading), first_batch(photos, reading))


def test_copies_keep_to_their_bound(photos: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    size = 4 * 48 * 24 * 4 / 1e9  # four images, three channels and a label
    with caplog.at_level(logging.WARNING):
        assert cached(photos, size=SIZE, folder=tmp_path / "cache", gigabytes=0.99 * size) is photos
    assert "training.cache_gigabytes is" in caplog.text
    assert not list((tmp_path / "cache").glob("*.npy"))
    room = 1.05 * size
    assert cached(photos, size=SIZE, folder=tmp_path / "cache", gigabytes=room) is not photos
    assert cached(photos, size=SIZE, folder=tmp_path / "cache", gigabytes=room) is not photos  # it is there
    assert cached(photos, size=(40, 20), folder=tmp_path / "cache", gigabytes=room) is photos  # beside the other
    assert cached(photos, size=(40, 20), folder=tmp_path / "cache", gigabytes=2 * room) is not photos


def test_sixteen_bits_are_refused_before_they_are_copied(photos: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "images"
    (folder / "0.jpg").unlink()
    deep = np.arange(NATIVE[0] * NATIVE[1], dtype=np.uint16).reshape(NATIVE[1], NATIVE[0])
    Image.fromarray(deep).save(folder / "0.png")
    dataset = open_dataset(f"folder:{tmp_path / 'photos'}", split="train")
    with pytest.raises(UserError, match="more than 8 bits per channel"):
        cached(dataset, size=SIZE, folder=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))
