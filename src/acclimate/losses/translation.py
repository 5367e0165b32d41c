"""What translated pictures cost: CycleGAN's terms, the perceptual distances of BDL and DISE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from acclimate.precision import full_precision

_EPSILON = 1e-5


def picture_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of two batches of pictures (B, 3, H, W): CycleGAN's cycle (eq. 2) and identity terms."""
    return functional.l1_loss(full_precision(first), full_precision(second))


def least_squares_gan(scores: Tensor, *, real: bool) -> Tensor:
    """Mean squared distance of a discriminator's scores to 1 (``real``) or to 0, the GAN term of CycleGAN.

    Args:
        scores: (B, 1, h, w), no sigmoid.
        real: what the discriminator should have said, or is to be made to say.
    """
    scores = full_precision(scores)
    return functional.mse_loss(scores, torch.full_like(scores, float(real)))


def perceptual_distance(first: Tensor, second: Tensor) -> Tensor:
    """BDL's perceptual term: mean squared difference of two networks' outputs after instance norm of each channel.

    Args:
        first, second: logits (B, C, h, w) of a frozen segmentation network, at its own stride; h * w above 1.
    """
    return functional.mse_loss(normalised_channels(first), normalised_channels(second))


def normalised_channels(logits: Tensor) -> Tensor:
    """Every channel of every image brought to mean 0 and (biased) variance 1, (B, C, h, w), without parameters."""
    logits = full_precision(logits)
    centred = logits - logits.mean(dim=(2, 3), keepdim=True)
    return centred * (centred.square().mean(dim=(2, 3), keepdim=True) + _EPSILON).rsqrt()


def colour_distance(first: Tensor, second: Tensor) -> Tensor:
    """How far mean and deviation of each channel of each picture are apart, averaged over channels and pictures.

    Args:
        first, second: (B, 3, H, W), of any sizes; populations, not samples.
    """
    first, second = full_precision(first), full_precision(second)
    means = (first.mean(dim=(2, 3)) - second.mean(dim=(2, 3))).abs().mean()
    deviations = (first.std(dim=(2, 3), correction=0) - second.std(dim=(2, 3), correction=0)).abs().mean()
    return means + deviations


def level_distance(first: Sequence[Tensor], second: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mean absolute differences of the maps of two pictures, weighted by level (DISE's reconstruction and structure).

    Args:
        first, second: maps (B, D, h, w) of each level, of equal sizes; the second's get no gradient.
        weights: of the levels; levels of weight 0 are not looked at.
    """
    return torch.stack(
        [
            weight * functional.l1_loss(full_precision(ours), full_precision(theirs).detach())
            for ours, theirs, weight in zip(first, second, weights, strict=True)
            if weight != 0
        ]
    ).sum()


def texture_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Mean absolute differences of each channel's mean over places, summed over levels (DISE).

    Args:
        first, second: maps (B, D, h, w) of each level, of any sizes; the second's get no gradient.
    """
    return torch.stack(
        [
            functional.l1_loss(full_precision(ours).mean(dim=(2, 3)), full_precision(theirs).detach().mean(dim=(2, 3)))
            for ours, theirs in zip(first, second, strict=True)
        ]
    ).sum()
