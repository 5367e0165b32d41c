"""FDA: spectra against NumPy's full transform, robust entropy by hand, one step against a slow implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from slow_step import CLASSES, assert_one_step, cross_entropy, large, make, pair, probabilities, rows
from torch import Tensor

from acclimate.data.spectrum import with_low_amplitudes_of
from acclimate.losses import robust_entropy_loss


def mixed_by_hand(image: np.ndarray, other: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """The whole spectrum, its origin in the middle, a window of 2 b + 1 frequencies along each axis."""
    spectra = [np.fft.fftshift(np.fft.fft2(each), axes=(-2, -1)) for each in (image, other)]
    amplitudes, others = np.abs(spectra[0]), np.abs(spectra[1])
    middle = [side // 2 for side in image.shape[-2:]]
    window = tuple(slice(centre - b, centre + b + 1) for centre, b in zip(middle, reach, strict=True))
    amplitudes[..., window[0], window[1]] = others[..., window[0], window[1]]
    mixed = np.fft.ifftshift(amplitudes * np.exp(1j * np.angle(spectra[0])), axes=(-2, -1))
    return np.real(np.fft.ifft2(mixed))


@pytest.mark.parametrize("size", [(20, 32), (21, 33)])
@pytest.mark.parametrize(("band", "shorter", "reach"), [(0.1, True, (2, 2)), (0.1, False, (2, 3)), (0.0, True, (0, 0))])
def test_amplitudes_are_exchanged_as_in_the_whole_spectrum(
    size: tuple[int, int], band: float, shorter: bool, reach: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    image, other = torch.rand(2, 3, *size, dtype=torch.float64), torch.rand(2, 3, *size, dtype=torch.float64)
    found = with_low_amplitudes_of(image, other, band=band, shorter_side=shorter)
    np.testing.assert_allclose(found.numpy(), mixed_by_hand(image.numpy(), other.numpy(), reach), atol=1e-12)


def test_the_mean_colour_becomes_the_others_and_the_image_itself_stays_its_own() -> None:
    image, other = torch.rand(1, 3, 16, 24, dtype=torch.float64), torch.rand(1, 3, 8, 12, dtype=torch.float64)
    assert torch.allclose(with_low_amplitudes_of(image, image, band=0.2), image)
    restyled = with_low_amplitudes_of(image, torch.full_like(other, 0.25), band=0.05)
    assert torch.allclose(restyled.mean(dim=(2, 3)), torch.full((1, 3), 0.25, dtype=torch.float64))


def test_published_windows() -> None:
    """At 1024x512, L of 0.01, 0.05 and 0.09 exchange frequencies up to 5, 25 and 46."""
    assert [int(band * 512) for band in (0.01, 0.05, 0.09)] == [5, 25, 46]


def test_robust_entropy_by_hand() -> None:
    uniform, certain = torch.zeros(1, 3, 1, 1, dtype=torch.float64), torch.zeros(1, 3, 1, 1, dtype=torch.float64)
    certain[0, 0] = 50.0
    both = torch.cat([uniform, certain], dim=3)  # entropies 1 and 0
    found = robust_entropy_loss(both, power=2.0, epsilon=0.5)
    assert found.item() == pytest.approx(((1 + 0.25) ** 2 + 0.25**2) / 2)


def slow_loss(network: Any, source: Any, target: Any, *, weight: float) -> Tensor:
    restyled = mixed_by_hand(source.images.numpy(), target.images.numpy(), (2, 2))
    loss = cross_entropy(large(network(torch.from_numpy(restyled)).logits), source.labels)
    logits = network(target.images).logits  # as small as the network gives them
    for p in rows(probabilities(logits)):
        entropy = -(p * torch.log(p)).sum() / np.log(CLASSES)
        loss = loss + weight / len(rows(logits)) * (entropy**2 + 1e-8) ** 2
    if target.labels is not None:
        loss = loss + cross_entropy(large(logits), target.labels)
    return loss


@pytest.mark.parametrize("labels", [False, True])
def test_a_step_equals_a_slow_implementation(labels: bool) -> None:
    source, target = pair(labels=labels)
    method = make("fda", band=0.05, entropy_weight=0.7)
    assert_one_step(method, source, target, lambda network: slow_loss(network, source, target, weight=0.7))


def test_entropy_begins_when_it_is_asked_to() -> None:
    source, target = pair()
    method = make("fda", band=0.05, entropy_weight=0.7, entropy_from=5)
    early = [name for losses in method.losses(source, target, 4) for name in losses]
    late = [name for losses in method.losses(source, target, 5) for name in losses]
    assert set(late) - set(early) == {"robust entropy"}
