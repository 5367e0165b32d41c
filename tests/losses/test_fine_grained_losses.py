"""Class-encoded domain labels and their loss, against values computed by hand on maps of two classes."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from acclimate.losses import class_domain_loss, class_encoding, domain_loss


def two_pixels() -> torch.Tensor:
    """(1, 2, 1, 2) logits whose odds are 3 to 1 at the first pixel and 1 to 99 at the second."""
    return torch.tensor([[[[math.log(3.0), 0.0]], [[0.0, math.log(99.0)]]]], dtype=torch.float64)


def test_soft_encoding_is_clipped_and_not_renormalised() -> None:
    encoding = class_encoding(two_pixels(), "soft", clip=0.9)
    expected = torch.tensor([[[[0.75, 0.01]], [[0.25, 0.9]]]], dtype=torch.float64)
    torch.testing.assert_close(encoding, expected)
    assert encoding[0, :, 0, 1].sum().item() == pytest.approx(0.91)


def test_temperature_divides_the_logits() -> None:
    """Odds of 3 at temperature 1/2 are odds of 9; odds of 99 at temperature 2 are odds of sqrt(99)."""
    assert class_encoding(two_pixels(), "soft", temperature=0.5)[0, 0, 0, 0].item() == pytest.approx(0.9)
    root = math.sqrt(99.0)
    assert class_encoding(two_pixels(), "soft", temperature=2.0)[0, 1, 0, 1].item() == pytest.approx(root / (1 + root))


def test_hard_encoding_is_one_at_the_most_probable_class() -> None:
    encoding = class_encoding(two_pixels(), "hard", temperature=1.8, clip=0.9)
    assert encoding.tolist() == [[[[1.0, 0.0]], [[0.0, 1.0]]]]


def test_binary_encoding_knows_no_classes() -> None:
    assert class_encoding(two_pixels(), "binary").tolist() == [[[[1.0, 1.0]]]]


@pytest.mark.parametrize("kind", ["soft", "hard", "binary"])
def test_encodings_carry_no_gradient(kind: str) -> None:
    assert not class_encoding(two_pixels().requires_grad_(), kind).requires_grad  # type: ignore[arg-type]


def discriminated() -> torch.Tensor:
    """(1, 4, 1, 2): probabilities over source 0, source 1, target 0, target 1 of .1 .2 .3 .4 and .4 .4 .1 .1."""
    probabilities = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.4, 0.1, 0.1]], dtype=torch.float64)
    return (probabilities.log() + 5.0).t().reshape(1, 4, 1, 2)  # a shift of all logits changes nothing


def test_the_loss_equals_the_sum_over_classes_and_the_mean_over_pixels() -> None:
    encoding = torch.tensor([[[[0.75, 0.01]], [[0.25, 0.9]]]], dtype=torch.float64)
    log = math.log
    source = -(0.75 * log(0.1) + 0.25 * log(0.2) + 0.01 * log(0.4) + 0.9 * log(0.4)) / 2
    target = -(0.75 * log(0.3) + 0.25 * log(0.4) + 0.01 * log(0.1) + 0.9 * log(0.1)) / 2
    assert class_domain_loss(discriminated(), encoding, "source").item() == pytest.approx(source)
    assert class_domain_loss(discriminated(), encoding, "target").item() == pytest.approx(target)


def test_with_hard_labels_it_is_cross_entropy_over_2k_classes() -> None:
    prediction, labels = torch.randn(2, 6, 3, 4), torch.randint(0, 3, (2, 3, 4))
    encoding = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.cross_entropy(prediction, labels)
    torch.testing.assert_close(class_domain_loss(prediction, encoding, "source"), expected)
    expected = torch.nn.functional.cross_entropy(prediction, labels + 3)
    torch.testing.assert_close(class_domain_loss(prediction, encoding, "target"), expected)


def test_without_classes_it_is_the_ordinary_binary_loss() -> None:
    """Two outputs s and t under a softmax say what one output t - s says under a sigmoid."""
    prediction = torch.randn(2, 2, 3, 4, dtype=torch.float64)
    one = prediction[:, 1:] - prediction[:, :1]
    encoding = class_encoding(torch.randn(2, 5, 3, 4, dtype=torch.float64), "binary")
    for domain in ("source", "target"):
        ours = class_domain_loss(prediction, encoding, domain)  # type: ignore[arg-type]
        torch.testing.assert_close(ours, domain_loss(one, domain))  # type: ignore[arg-type]


def test_gradients() -> None:
    encoding = class_encoding(torch.randn(1, 3, 2, 2, dtype=torch.float64), "soft", temperature=1.8, clip=0.9)
    prediction = torch.randn(1, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda values: class_domain_loss(values, encoding, "target"), prediction)


def test_half_precision_is_not_kept() -> None:
    prediction = torch.full((1, 4, 1, 1), 3.0, dtype=torch.bfloat16)
    encoding = class_encoding(torch.zeros(1, 2, 1, 1, dtype=torch.bfloat16), "soft")
    assert encoding.dtype == torch.float32
    loss = class_domain_loss(prediction, encoding, "source")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(4.0), abs=1e-6)


def test_a_discriminator_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="3 classes need 6 outputs of the discriminator, not 4"):
        class_domain_loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 3, 2, 2), "source")
