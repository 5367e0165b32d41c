"""The precision in which logits are enlarged and losses computed."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """``values`` in float32, or in float64 where they are that already: half precision is too coarse for a loss."""
    return values if values.dtype == torch.float64 else values.float()
