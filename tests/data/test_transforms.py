from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from acclimate.data.photometric import Photometric
from acclimate.data.transforms import Transform, resized
from acclimate.labels import VOID

HEIGHT, WIDTH = 10, 16


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """An image whose red and green tell each pixel's place, and a label that repeats its red."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    label = rows * WIDTH + columns
    return np.stack([label, rows, columns], axis=-1), label


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


class Untouchable:
    """A generator that must not be used."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"a transform without randomness asked for {name}")


def test_native_values(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = Transform()(*pair, rng())
    assert image.dtype == torch.float32
    assert label is not None
    assert label.dtype == torch.int64
    torch.testing.assert_close(image[:, 3, 5], torch.tensor([3 * WIDTH + 5, 3, 5]) / 255, rtol=0, atol=0)
    assert torch.equal(label, (image[0] * 255).round().long())


def test_no_randomness_draws_nothing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    Transform(size=(8, 4))(*pair, Untouchable())  # type: ignore[arg-type]
    Transform()(pair[0], None, Untouchable())  # type: ignore[arg-type]


def test_resize_is_pillows_and_labels_are_never_mixed(pair: tuple[np.ndarray, np.ndarray]) -> None:
    label = np.where(pair[1] < 80, 3, VOID).astype(np.uint8)
    for resample, constant in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
        image, small = Transform(size=(8, 4), resample=resample)(pair[0], label, rng())
        expected = np.asarray(Image.fromarray(pair[0]).resize((8, 4), constant))
        np.testing.assert_array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), expected)
        assert small is not None
        assert set(small.unique().tolist()) == {3, VOID}
    assert not np.array_equal(resized(pair[0], (8, 4), "bicubic"), resized(pair[0], (8, 4), "bilinear"))


def test_a_label_of_another_size_is_brought_to_size(pair: tuple[np.ndarray, np.ndarray]) -> None:
    label = np.kron(np.array([[1, 2]], dtype=np.uint8), np.ones((5, 3), dtype=np.uint8))
    _, small = Transform(size=(8, 4))(pair[0], label, rng())
    assert small is not None
    assert small.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]] * 4
    with pytest.raises(ValueError, match="differ in size"):
        Transform()(pair[0], label, rng())


def test_crops_move_image_and_label_together(pair: tuple[np.ndarray, np.ndarray]) -> None:
    corners = set()
    for number in range(300):
        image, label = Transform(crop=(12, 7))(*pair, rng(number))
        assert label is not None
        assert image.shape == (3, 7, 12)
        assert torch.equal(label, (image[0] * 255).round().long())
        corners.add((round(image[1, 0, 0].item() * 255), round(image[2, 0, 0].item() * 255)))
    assert corners == {(top, left) for top in range(4) for left in range(5)}  # every place, borders included


def test_a_crop_larger_than_the_image_is_padded(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = Transform(crop=(20, 13))(*pair, rng())
    assert label is not None
    assert torch.equal(label[:HEIGHT, :WIDTH], torch.from_numpy(pair[1]).long())
    assert (label[HEIGHT:] == VOID).all()
    assert (label[:, WIDTH:] == VOID).all()
    assert (image[:, HEIGHT:] == 0).all()
    assert (image[:, :, WIDTH:] == 0).all()


def test_flip_is_half_of_the_time_and_moves_both(pair: tuple[np.ndarray, np.ndarray]) -> None:
    plain, plain_label = Transform()(*pair, rng())
    assert plain_label is not None
    flipped = 0
    for number in range(400):
        image, label = Transform(flip=True)(*pair, rng(number))
        assert label is not None
        if torch.equal(image, plain):
            assert torch.equal(label, plain_label)
        else:
            assert torch.equal(image, plain.flip(-1))
            assert torch.equal(label, plain_label.flip(-1))
            flipped += 1
    assert 160 < flipped < 240


def test_scale_stays_in_its_range_and_reaches_its_ends(pair: tuple[np.ndarray, np.ndarray]) -> None:
    widths = []
    for number in range(300):
        image, label = Transform(scale=(0.5, 2.0))(*pair, rng(number))
        assert label is not None
        assert image.shape[1:] == label.shape
        assert abs(image.shape[1] - image.shape[2] * HEIGHT / WIDTH) <= 1  # both sides by one factor, rounded
        widths.append(image.shape[2])
    assert min(widths) == 8
    assert max(widths) in (31, 32)


def test_the_same_augmentation_with_and_without_a_label(pair: tuple[np.ndarray, np.ndarray]) -> None:
    transform = Transform(
        size=(14, 9), scale=(0.7, 1.4), crop=(10, 10), flip=True, photometric=Photometric(brightness=0.5, hue=0.1)
    )
    assert torch.equal(transform(*pair, rng(4))[0], transform(pair[0], None, rng(4))[0])


def test_photometric_changes_come_last_and_leave_labels_alone(pair: tuple[np.ndarray, np.ndarray]) -> None:
    photometric = Photometric.model_validate({"jitter": 0.5, "blur": 1.0})
    image, label = Transform(flip=True, photometric=photometric)(*pair, rng(8))
    draws = rng(8)
    plain, plain_label = Transform(flip=True)(*pair, draws)
    assert torch.equal(image, photometric.draw(draws)(plain))
    assert not torch.equal(image, plain)
    assert label is not None
    assert plain_label is not None
    assert torch.equal(label, plain_label)


def test_read_only_arrays_are_fine(pair: tuple[np.ndarray, np.ndarray], recwarn: pytest.WarningsRecorder) -> None:
    for array in pair:
        array.flags.writeable = False
    Transform(flip=True)(*pair, rng())
    assert not recwarn.list


@pytest.mark.parametrize(
    "values",
    [{"sise": (3, 4)}, {"scale": (2.0, 1.0)}, {"size": (0, 4)}, {"photometric": {"hue": 0.7}}, {"crop": (4,)}],
)
def test_wrong_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Transform.model_validate(values)
