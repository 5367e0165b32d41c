from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from acclimate.models.aspp import _MANY_CHANNELS, ASPP, SmallASPP


def test_logits_are_the_sum_of_dilated_convolutions() -> None:
    aspp = ASPP(5, 3, rates=(1, 2, 3))
    features = torch.randn(2, 5, 9, 11)
    expected = torch.zeros(2, 3, 9, 11)
    for rate, layer in zip((1, 2, 3), aspp.conv2d_list, strict=True):
        # a dilated convolution written as nine shifted matrix products
        padded = functional.pad(features, (rate, rate, rate, rate))
        for row in range(3):
            for column in range(3):
                shifted = padded[:, :, row * rate : row * rate + 9, column * rate : column * rate + 11]
                expected += torch.einsum("bdhw,cd->bchw", shifted, layer.weight[:, :, row, column])
        expected += layer.bias.view(1, 3, 1, 1)
    torch.testing.assert_close(aspp(features), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("rates", "branches"), [((1, 2, 3), None), ((2, 6, 12, 18), 2)])
def test_many_channels_are_computed_another_way_with_the_same_result_and_gradients(
    rates: tuple[int, ...], branches: int | None
) -> None:
    torch.manual_seed(0)
    aspp = ASPP(_MANY_CHANNELS, 3, rates=rates, branches=branches).double()
    features = torch.randn(2, _MANY_CHANNELS, 7, 10, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    used = list(aspp.conv2d_list)[: aspp.branches]
    variables = [features, *(p for layer in used for p in layer.parameters())]
    logits = aspp(features)
    expected = torch.stack([layer(features) for layer in used]).sum(dim=0)
    torch.testing.assert_close(logits, expected)
    found = torch.autograd.grad(logits, variables, upstream)
    for gradient, reference in zip(found, torch.autograd.grad(expected, variables, upstream), strict=True):
        torch.testing.assert_close(gradient, reference)


def test_every_backward_pass_counts_once() -> None:
    torch.manual_seed(0)
    aspp = ASPP(_MANY_CHANNELS, 3, rates=(1, 2, 3))
    features = torch.randn(2, _MANY_CHANNELS, 5, 6)
    gradients = {}
    for foldable in (True, False):
        aspp.foldable = foldable
        aspp.zero_grad()
        for _ in range(3):
            aspp(features).sum().backward()
        gradients[foldable] = [parameter.grad.clone() for parameter in aspp.parameters()]
        biases = [layer.bias.grad for layer in aspp.conv2d_list]
        assert len({bias.untyped_storage().data_ptr() for bias in biases}) == 3
        for bias in biases:
            assert bias.tolist() == [3 * 2 * 5 * 6] * 3
    for folded, plain in zip(gradients[True], gradients[False], strict=True):
        torch.testing.assert_close(folded, plain, atol=1e-3, rtol=1e-4)


def test_two_branches_leave_the_others_out_and_frozen_but_named() -> None:
    torch.manual_seed(0)
    aspp = ASPP(4, 3, branches=2)
    features = torch.randn(1, 4, 8, 8)
    first, second, third, fourth = aspp.conv2d_list
    torch.testing.assert_close(aspp(features), first(features) + second(features))
    assert [p.requires_grad for p in third.parameters()] + [p.requires_grad for p in fourth.parameters()] == [False] * 4
    assert list(aspp.state_dict()) == list(ASPP(4, 3).state_dict())


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    weight = ASPP(256, 19).conv2d_list[3].weight
    assert abs(weight.std().item() - 0.01) < 2e-4
    assert abs(weight.mean().item()) < 2e-4


def test_published_rates() -> None:
    assert [c.dilation for c in ASPP(2, 2).conv2d_list] == [(6, 6), (12, 12), (18, 18), (24, 24)]


def test_the_small_head_is_the_published_one_on_reduced_features() -> None:
    head = SmallASPP(7, 3, channels=4, rates=(1, 2))
    features = torch.randn(2, 7, 6, 6)
    reduced = torch.einsum("bdhw,cd->bchw", features, head.reduce.weight[:, :, 0, 0]).clamp(min=0)
    torch.testing.assert_close(head(features), head.aspp(reduced))
