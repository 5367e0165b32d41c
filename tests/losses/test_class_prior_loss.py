from __future__ import annotations

import math

import torch
from torch.autograd import gradcheck

from acclimate.losses import class_ratio_prior

RATIOS = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


def test_by_hand() -> None:
    """Two pixels of (0.7, 0.2, 0.1) and (0.9, 0.1, 0.0...): the expected shares are 0.8, 0.15 and 0.05."""
    probabilities = torch.tensor([[0.7, 0.9], [0.2, 0.1], [0.1, 1e-30]], dtype=torch.float64)
    logits = probabilities.log().view(1, 3, 1, 2)
    # mu = 1: 0.6 is reached, 0.3 misses 0.15, 0.1 misses 0.05
    assert math.isclose(class_ratio_prior(logits, RATIOS, mu=1.0).item(), 0.15 + 0.05, rel_tol=1e-9)
    # mu = 0.5 asks for 0.3, 0.15 and 0.05, all of which are there
    assert class_ratio_prior(logits, RATIOS, mu=0.5).item() < 1e-9
    assert class_ratio_prior(logits, RATIOS, mu=0.0).item() == 0.0


def test_expectation_is_over_each_image() -> None:
    """One image of the first class alone and one of the second alone: each misses what the other has."""
    logits = torch.zeros(2, 2, 1, 1, dtype=torch.float64)
    logits[0, 0] = logits[1, 1] = 1e3
    ratios = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert math.isclose(class_ratio_prior(logits, ratios, mu=0.5).item(), 0.25)


def test_exact_ratios_cost_nothing_and_a_lost_class_costs_its_share() -> None:
    logits = RATIOS.log().view(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert class_ratio_prior(logits, RATIOS, mu=1.0).item() < 1e-12
    lost = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    lost[:, 2] = -1e4
    assert math.isclose(class_ratio_prior(lost, RATIOS, mu=1.0).item(), 0.1 + 0.1)  # 0.6 - 0.5, and the lost 0.1


def test_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: class_ratio_prior(x, RATIOS, mu=1.0), (logits,))


def test_half_precision_logits_and_single_precision_ratios() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 64, 64).bfloat16()
    loss = class_ratio_prior(logits, RATIOS.float(), mu=1.0)
    assert loss.dtype == torch.float32
    assert torch.isclose(loss.double(), class_ratio_prior(logits.double(), RATIOS, mu=1.0), rtol=1e-5)
