from __future__ import annotations

import math

import torch
from torch.autograd import gradcheck

from acclimate.losses import cross_entropy


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
