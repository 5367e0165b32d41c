"""Photometric changes: by hand, against slow implementations, and drawn apart from being applied."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torchvision.transforms.v2 import functional

from acclimate.data.photometric import PRESETS, Drawn, Photometric, augmented, blurred, kernel_reach

GREY = torch.tensor([0.2989, 0.587, 0.114])


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*(shape or (3, 9, 14)), generator=torch.Generator().manual_seed(seed))


def changed(picture: Tensor, name: str, amount: float) -> Tensor:
    """One change of jitter, written out pixel by pixel."""
    grey = (GREY[:, None, None] * picture).sum(dim=0, keepdim=True)
    if name == "brightness":
        return (picture * amount).clamp(0, 1)
    if name == "contrast":
        return (picture * amount + grey.mean() * (1 - amount)).clamp(0, 1)
    if name == "saturation":
        return (picture * amount + grey * (1 - amount)).clamp(0, 1)
    result = torch.empty_like(picture)
    for row in range(picture.shape[1]):
        for column in range(picture.shape[2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*picture[:, row, column].tolist())
            result[:, row, column] = torch.tensor(colorsys.hsv_to_rgb((hue + amount) % 1.0, saturation, value))
    return result


@pytest.mark.parametrize(
    ("name", "amount"),
    [("brightness", 1.6), ("contrast", 0.3), ("contrast", 1.7), ("saturation", 1.8), ("hue", 0.31), ("hue", -0.2)],
)
def test_each_change_against_one_written_out(name: str, amount: float) -> None:
    picture = image()
    torch.testing.assert_close(Drawn(((name, amount),))(picture), changed(picture, name, amount), atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_what_is_drawn_and_applied_is_torchvisions(name: str) -> None:
    picture = image()
    draws = rng(1)
    draws.permutation(1)
    factor = draws.uniform(-0.4, 0.4) if name == "hue" else draws.uniform(0.6, 1.4)
    drawn = Photometric.model_validate({name: 0.4}).draw(rng(1))
    assert drawn == Drawn(((name, factor),))
    assert torch.equal(drawn(picture), getattr(functional, f"adjust_{name}")(picture, factor))


def test_changes_come_in_every_order_and_are_applied_in_it() -> None:
    photometric = Photometric.model_validate({"jitter": 0.3})
    drawn = [photometric.draw(rng(number)) for number in range(400)]
    assert len({tuple(name for name, _ in each.changes) for each in drawn}) == math.factorial(4)
    picture = expected = image()
    for name, amount in drawn[0].changes:
        expected = getattr(functional, f"adjust_{name}")(expected, amount)
    assert torch.equal(drawn[0](picture), expected)


def test_ranges_and_chances() -> None:
    photometric = Photometric.model_validate(
        {"jitter": {"brightness": 3.0, "hue": 0.1}, "probability": 0.8, "greyscale": 0.25,
         "blur": {"probability": 0.5, "sigma": [0.2, 1.5]}}
    )  # fmt: skip
    drawn = [photometric.draw(rng(number)) for number in range(2000)]
    factors = {name: [dict(each.changes)[name] for each in drawn if each.changes] for name in ("brightness", "hue")}
    assert 0 <= min(factors["brightness"]) < 0.05
    assert 3.95 < max(factors["brightness"]) <= 4
    assert -0.1 <= min(factors["hue"]) < -0.095
    sigmas = [each.sigma for each in drawn if each.sigma is not None]
    assert 0.2 <= min(sigmas) < 0.21
    assert 1.49 < max(sigmas) <= 1.5
    shares = len(factors["hue"]) / 2000, sum(each.greyscale for each in drawn) / 2000, len(sigmas) / 2000
    assert shares == pytest.approx((0.8, 0.25, 0.5), abs=0.04)


def test_what_is_off_draws_nothing() -> None:
    generator = rng()
    before = generator.bit_generator.state
    assert Photometric().draw(generator) == Drawn()
    assert generator.bit_generator.state == before
    picture = image()
    assert Drawn()(picture) is picture


def test_greyscale_by_hand() -> None:
    picture = torch.tensor([0.5, 0.25, 1.0])[:, None, None].expand(3, 2, 2)
    grey = 0.2989 * 0.5 + 0.587 * 0.25 + 0.114 * 1.0
    torch.testing.assert_close(Drawn(greyscale=True)(picture), torch.full((3, 2, 2), grey))


def test_the_blur_of_a_point_is_the_kernel() -> None:
    point = torch.zeros(1, 15, 15)
    point[0, 7, 7] = 1.0
    weights = [math.exp(-0.5 * (offset / 1.15) ** 2) for offset in range(-3, 4)]
    weights = [weight / sum(weights) for weight in weights]
    found = blurred(point, 1.15)[0]
    assert found[7, 4:11].tolist() == pytest.approx([weights[3] * weight for weight in weights], rel=1e-5)
    assert found[5, 9].item() == pytest.approx(weights[1] * weights[5], rel=1e-5)
    assert int((found > 0).sum()) == 49


@pytest.mark.parametrize("sigma", [0.15, 0.7, 1.15, 2.4, 3.0])
def test_blur_against_a_direct_sum(sigma: float) -> None:
    picture = image(3, 24, 21, seed=3)
    reach = kernel_reach(sigma)
    padded = np.pad(picture.double().numpy(), ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    expected = np.zeros(picture.shape)
    for row in range(picture.shape[1]):
        for column in range(picture.shape[2]):
            window = padded[:, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            expected[:, row, column] = (window * kernel).sum(axis=(1, 2))
    np.testing.assert_allclose(blurred(picture, sigma).numpy(), expected, atol=1e-6)
    size = 2 * reach + 1
    torch.testing.assert_close(blurred(picture, sigma), functional.gaussian_blur(picture, [size, size], [sigma, sigma]))


def test_the_kernel_is_just_large_enough() -> None:
    assert [2 * kernel_reach(sigma) + 1 for sigma in (0.15, 0.5, 1.15, 1.2, 3.0)] == [3, 3, 7, 9, 19]
    picture = image(3, 64, 64)
    published = functional.gaussian_blur(picture, [51, 51], [1.15, 1.15])
    assert (blurred(picture, 1.15) - published).abs().max() < 2e-3


def test_blur_of_tiny_and_of_even_pictures() -> None:
    assert torch.equal(blurred(torch.full((3, 1, 2), 0.5), 3.0), torch.full((3, 1, 2), 0.5))
    torch.testing.assert_close(blurred(torch.ones(3, 8, 5), 3.0), torch.ones(3, 8, 5))


def test_a_batch_is_its_images() -> None:
    batch = image(4, 3, 12, 10)
    drawn = Photometric.model_validate("strong").draw(rng(5))
    torch.testing.assert_close(drawn(batch), torch.stack([drawn(each) for each in batch]))


def test_augmented_in_a_step_follows_torchs_generator() -> None:
    batch, photometric = image(4, 3, 12, 10), Photometric.model_validate("weak")
    kept = batch.clone()
    torch.manual_seed(3)
    first = augmented(batch, photometric)
    torch.manual_seed(3)
    assert torch.equal(augmented(batch, photometric), first)
    assert not torch.equal(augmented(batch, photometric), first)  # the next call of the step draws anew
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    assert torch.equal(augmented(batch, photometric, generator=generators[0]), first)
    draws = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generators[1])))
    assert torch.equal(first, torch.stack([photometric.draw(draws)(each) for each in batch]))
    assert torch.equal(batch, kept)


def test_augmented_per_image_or_together() -> None:
    batch = image(3, 12, 10).expand(5, 3, 12, 10).contiguous(memory_format=torch.channels_last)
    photometric = Photometric.model_validate({"jitter": 0.4})
    torch.manual_seed(0)
    apart = augmented(batch, photometric)
    assert apart.is_contiguous(memory_format=torch.channels_last)
    assert len({each.contiguous().numpy().tobytes() for each in apart}) == 5
    together = augmented(batch, photometric, together=True)
    assert all(torch.equal(each, together[0]) for each in together)


def test_named_strengths() -> None:
    assert set(PRESETS) == {"weak", "strong"}
    weak, strong = (Photometric.model_validate(name) for name in ("weak", "strong"))
    assert weak == Photometric(
        brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2, probability=0.8, blur_probability=0.5,
        blur_sigma=(0.15, 1.15),
    )  # fmt: skip
    assert strong == Photometric(
        brightness=0.8, contrast=0.8, saturation=0.8, hue=0.4, probability=0.8, greyscale_probability=0.1,
        blur_probability=0.5, blur_sigma=(0.15, 3.0),
    )  # fmt: skip
    for each in (weak, strong):
        assert Photometric.model_validate(each.model_dump(mode="json")) == each


def test_short_forms_are_written_out_and_full_ones_count_more() -> None:
    given = {"jitter": 0.3, "hue": 0.1, "blur": {"sigma": [0.5, 1.0]}, "blur_probability": 0.2, "greyscale": 0.1}
    assert Photometric.model_validate(given) == Photometric(
        brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, blur_probability=0.2, blur_sigma=(0.5, 1.0),
        greyscale_probability=0.1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("mild", "'mild'; its named strengths are weak, strong"),
        ({"jitter": 0.7}, "hue"),
        ({"jitter": {"bright": 0.2}}, "bright"),
        ({"blur": {"sigma": [2.0, 1.0]}}, "smallest, largest"),
        ({"blur": 1.5}, "blur_probability"),
        ({"probability": -0.1}, "probability"),
    ],
)
def test_wrong_settings_are_refused(values: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Photometric.model_validate(values)
