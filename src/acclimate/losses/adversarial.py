"""What a discriminator's output costs: binary domain classification (AdaptSegNet, ADVENT eq. 7-9)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from acclimate.precision import full_precision

Domain = Literal["source", "target"]
AdversarialLoss = Literal["vanilla", "least-squares"]

_DOMAIN_LABEL: dict[str, float] = {"source": 0.0, "target": 1.0}
"""The published codes label the source 0 and the target 1, the papers the other way round; the two are equivalent."""


def domain_loss(
    prediction: Tensor, domain: Domain, *, kind: AdversarialLoss = "vanilla", weights: Tensor | None = None
) -> Tensor:
    """How wrong the discriminator is if its input comes from ``domain``, mean over its output map.

    Args:
        prediction: the discriminator's raw output, (B, 1, h, w), no sigmoid.
        domain: what it should have said.
        kind: binary cross-entropy on logits, or the squared distance of raw outputs to 0 / 1 (LS-GAN).
        weights: a factor of each place's loss, of the prediction's shape; the mean is over all places all the same.

    Returns:
        A scalar; float32, or float64 for a prediction in float64.
    """
    prediction = full_precision(prediction)
    wanted = torch.full_like(prediction, _DOMAIN_LABEL[domain])
    loss = F.binary_cross_entropy_with_logits if kind == "vanilla" else F.mse_loss
    if weights is None:
        return loss(prediction, wanted)
    return (loss(prediction, wanted, reduction="none") * weights).mean()


def prediction_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """1 - cos(p1, p2) of what two heads say of each pixel (CLAN).

    Args:
        first, second: logits (B, C, H, W).

    Returns:
        (B, 1, H, W) in [0, 1]; float32, or float64 for logits in float64.
    """
    ours, theirs = full_precision(first).softmax(dim=1), full_precision(second).softmax(dim=1)
    return 1 - F.cosine_similarity(ours, theirs, dim=1).unsqueeze(1)
