from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from acclimate.losses import entropy_loss, entropy_map, weighted_self_information


def test_two_classes_by_hand() -> None:
    p = 0.2
    logits = torch.tensor([p, 1 - p], dtype=torch.float64).log().view(1, 2, 1, 1)
    parts = [-p * math.log2(p), -(1 - p) * math.log2(1 - p)]  # log 2 is the normaliser, so bits
    assert torch.allclose(weighted_self_information(logits).flatten(), torch.tensor(parts, dtype=torch.float64))
    assert math.isclose(entropy_map(logits).item(), sum(parts))


def test_three_classes_by_hand() -> None:
    probabilities = [0.7, 0.2, 0.1]
    logits = torch.tensor(probabilities, dtype=torch.float64).log().view(1, 3, 1, 1) + 5.0  # a shift changes nothing
    expected = -sum(p * math.log(p) for p in probabilities) / math.log(3)
    assert math.isclose(entropy_map(logits).item(), expected)


@pytest.mark.parametrize("classes", [2, 3, 19])
def test_uniform_is_one_and_certain_is_zero(classes: int) -> None:
    uniform = torch.full((1, classes, 1, 1), 3.7)
    assert math.isclose(entropy_map(uniform).item(), 1.0, rel_tol=1e-6)
    certain = torch.zeros(1, classes, 1, 1)
    certain[0, 1] = 1e4
    assert entropy_map(certain).item() == 0.0


def test_self_information_sums_to_the_entropy() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 7, 5, 6)
    parts = weighted_self_information(logits)
    assert parts.shape == logits.shape
    assert torch.equal(parts.sum(dim=1), entropy_map(logits))
    probabilities = logits.double().softmax(dim=1)  # the published formula, in double precision
    published = -(probabilities * torch.log2(probabilities + 1e-30)) / math.log2(7)
    assert torch.allclose(parts.double(), published, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_enormous_logits_are_harmless(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype=dtype)
    logits = logits.T[None, :, None, :].clone().requires_grad_()
    values = entropy_map(logits)
    expected = torch.tensor([0.0, 1.0, math.log(2) / math.log(3)]).view(1, 1, 3)
    assert values.dtype == torch.float32
    assert torch.allclose(values, expected, atol=1e-6)
    values.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_bfloat16_input_loses_nothing_more() -> None:
    """Near-certain predictions are where p * log(p + epsilon) in half precision goes wrong."""
    torch.manual_seed(0)
    logits = torch.randn(1, 19, 32, 32)
    logits[:, 3] += 8
    half = logits.bfloat16()
    assert torch.allclose(entropy_map(half).double(), entropy_map(half.double()), rtol=1e-4, atol=1e-8)
    assert entropy_map(half).min() > 0


def test_loss_is_the_mean_over_pixels_and_images() -> None:
    logits = torch.zeros(2, 2, 1, 4)
    logits[0, 0, 0, :3] = 1e4  # three certain pixels, five uniform ones
    assert math.isclose(entropy_loss(logits).item(), 5 / 8, rel_tol=1e-6)


@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
def test_range_is_the_mean_of_each_images_most_uncertain_pixels(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(3, 5, *size, dtype=torch.float64)
    logits[1] *= 5  # an image with less entropy than the others: a selection over the batch would differ
    tops = []
    for image in entropy_map(logits):
        values = sorted(image.flatten().tolist(), reverse=True)
        chosen = values[: round(0.3 * len(values))]
        tops.append(sum(chosen) / len(chosen))
    assert math.isclose(entropy_loss(logits, highest=0.3).item(), sum(tops) / 3, rel_tol=1e-12)
    assert entropy_loss(logits, highest=0.3) > entropy_loss(logits)


def test_range_gives_gradients_to_the_selected_pixels_alone() -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(2, 5, 8, 10, dtype=torch.float64)
    logits.requires_grad_()
    entropy = entropy_map(logits).detach().flatten(1)
    entropy_loss(logits, highest=0.3).backward()
    assert logits.grad is not None
    touched = (logits.grad.abs().sum(dim=1) > 0).flatten(1)
    for image in range(2):
        assert touched[image].sum() == 24
        assert entropy[image][touched[image]].min() > entropy[image][~touched[image]].max()


def test_a_range_smaller_than_a_pixel_keeps_one() -> None:
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    assert entropy_loss(logits, highest=0.01) == entropy_map(logits).max()


@pytest.mark.parametrize("highest", [1.0, 0.5])
def test_gradient(highest: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: entropy_loss(x, highest=highest), (logits,))
    assert gradcheck(weighted_self_information, (logits,))
