"""What translated pictures cost: CycleGAN's terms and BDL's perceptual distance."""

from __future__ import annotations

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
