from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from acclimate.losses import cross_entropy
from acclimate.losses.segmentation import Over, enlarged_cross_entropy, logarithmic_class_weights
from acclimate.models.resize import upsample


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits (1, C, 1, pixels) whose softmax is the given probabilities, one list per pixel."""
    return torch.tensor(probabilities, dtype=torch.float64).log().T[None, :, None, :]


def test_by_hand() -> None:
    logits = logits_of([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
    labels = torch.tensor([[[1, 0, 255]]])
    expected = (math.log(4 / 3) + math.log(2)) / 2  # the void pixel counts neither above nor below
    assert torch.isclose(cross_entropy(logits, labels), torch.tensor(expected, dtype=torch.float64))


def test_mean_is_over_the_valid_pixels_of_the_whole_batch() -> None:
    logits = torch.cat([logits_of([[0.5, 0.5]] * 3), logits_of([[0.25, 0.75]] * 3)])
    labels = torch.tensor([[[0, 1, 0]], [[0, 255, 255]]])
    assert math.isclose(cross_entropy(logits, labels).item(), (3 * math.log(2) + math.log(4)) / 4)


def test_all_void_is_zero_with_zero_gradients() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 4, 5), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_void_pixels_receive_no_gradient() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    cross_entropy(logits, torch.tensor([[[0, 255], [255, 2]]])).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[..., 0, 1], torch.zeros(1, 3))
    assert logits.grad[..., 0, 0].abs().min() > 0


def test_gradient() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[[0, 255, 2], [1, 1, 0]]])
    logits = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: cross_entropy(x, labels), (logits,))


def test_half_precision_logits_are_summed_in_full() -> None:
    torch.manual_seed(0)
    logits = (10 * torch.randn(1, 5, 64, 64)).bfloat16()
    labels = torch.randint(0, 5, (1, 64, 64))
    loss = cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert torch.isclose(loss.double(), cross_entropy(logits.double(), labels), rtol=1e-6)


def test_enormous_logits() -> None:
    logits = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1).requires_grad_()
    loss = cross_entropy(logits, torch.tensor([[[1]]]))
    loss.backward()
    assert loss.item() == 2e4
    assert logits.grad is not None
    assert torch.equal(logits.grad.flatten(), torch.tensor([1.0, -1.0]))


def test_weights_by_hand() -> None:
    """Weights scale each pixel's loss and leave alone what the sum is divided by: pixels with a label, or all."""
    logits = logits_of([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.5, 0.5]])
    labels, weights = torch.tensor([[[1, 0, 255, 1]]]), torch.tensor([[[0.5, 1.0, 1.0, 0.0]]])
    total = 0.5 * math.log(4 / 3) + math.log(2)
    assert math.isclose(cross_entropy(logits, labels, weights=weights).item(), total / 3)
    assert math.isclose(cross_entropy(logits, labels, weights=weights, over="all").item(), total / 4)
    unweighted = math.log(4 / 3) + 2 * math.log(2)
    assert math.isclose(cross_entropy(logits, labels, over="all").item(), unweighted / 4)


def test_weights_of_one_change_nothing() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    torch.testing.assert_close(
        cross_entropy(logits, labels, weights=torch.ones(2, 4, 5)), cross_entropy(logits, labels), rtol=1e-6, atol=0
    )


def test_gradient_with_weights() -> None:
    torch.manual_seed(0)
    labels, weights = torch.tensor([[[0, 255, 2], [1, 1, 0]]]), torch.rand(1, 2, 3, dtype=torch.float64)
    logits = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: cross_entropy(x, labels, weights=weights, over="all"), (logits,))


def test_weights_of_zero_are_zero_gradients_however_large_the_logits() -> None:
    logits = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1).requires_grad_()
    cross_entropy(logits, torch.tensor([[[1]]]), weights=torch.zeros(1, 1, 1), over="all").backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("over", ["valid", "all"])
@pytest.mark.parametrize("weighted", [False, True])
def test_enlarging_image_by_image_is_enlarging_the_batch(over: Over, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(3, 4, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (3, 17, 23), generator=generator)
    labels[0, :9] = 255
    labels[2] = 255
    weights = torch.rand(3, 17, 23, generator=generator, dtype=torch.float64) if weighted else None
    found, expected = low.clone().requires_grad_(), low.clone().requires_grad_()
    loss = enlarged_cross_entropy(found, labels, weights=weights, over=over)
    whole = cross_entropy(upsample(expected, (17, 23)), labels, weights=weights, over=over)
    (2 * loss).backward()
    (2 * whole).backward()
    assert found.grad is not None
    assert expected.grad is not None
    assert loss.item() == pytest.approx(whole.item(), rel=1e-13)
    assert torch.allclose(found.grad, expected.grad, rtol=0, atol=1e-15)
    assert found.grad[2].eq(0).all()
    with torch.no_grad():
        assert enlarged_cross_entropy(low, labels, weights=weights, over=over).item() == loss.item()


def test_enlarging_holds_one_image_and_gives_half_precision_its_gradient() -> None:
    """What is kept for the backward pass has the size of the logits, not of the pictures."""
    low = torch.randn(2, 4, 5, 6).bfloat16().requires_grad_()
    loss = enlarged_cross_entropy(low, torch.randint(0, 4, (2, 40, 48), generator=torch.Generator().manual_seed(0)))
    labels = torch.randint(0, 4, (2, 40, 48), generator=torch.Generator().manual_seed(0))
    assert loss.dtype == torch.float32
    node = loss.grad_fn
    assert node is not None
    assert [tensor.shape for tensor in node.next_functions[0][0].saved_tensors] == [low.shape]  # type: ignore[union-attr]
    loss.backward()
    assert low.grad is not None
    assert low.grad.dtype == torch.bfloat16
    exact = low.detach().float().requires_grad_()
    cross_entropy(upsample(exact, (40, 48)), labels).backward()
    assert exact.grad is not None
    assert torch.allclose(low.grad.float(), exact.grad, rtol=1e-2, atol=1e-6)


def test_rare_classes_weigh_more_and_the_mean_stays_one() -> None:
    """By hand for shares of 0.98 and 0.02: 1 / ln 2 = 1.4427 and 1 / ln 1.04 = 25.497, whose mean is 1.9238."""
    ratios = torch.tensor([0.98, 0.02], dtype=torch.float64)
    weights = logarithmic_class_weights(ratios)
    torch.testing.assert_close(weights, torch.tensor([0.74993, 13.2535], dtype=torch.float64), rtol=1e-4, atol=0)
    assert float((weights * ratios).sum()) == pytest.approx(1.0)
    absent = logarithmic_class_weights(torch.tensor([1.0, 0.0]))
    assert torch.isfinite(absent).all()
