"""Domain labels that know classes, and what a discriminator over them costs (FADA; Zhao et al. 2022, eq. 1-3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from acclimate.losses.adversarial import Domain
from acclimate.precision import full_precision

Encoding = Literal["soft", "hard", "binary"]


def class_encoding(logits: Tensor, kind: Encoding, *, temperature: float = 1.0, clip: float = 1.0) -> Tensor:
    """What each pixel weighs in each class of its domain: the vector a of the domain label [a; 0] or [0; a].

    Args:
        logits: the classifier's, (B, K, H, W). They are only looked at: no gradient comes back.
        kind: ``soft``, the probabilities at ``temperature``, those above ``clip`` set to it and nothing renormalised,
            so that a confident pixel weighs at most ``clip`` (FADA's code: 1.8 and 0.9); ``hard``, 1 at the most
            probable class (one reading of Zhao et al.); ``binary``, 1 in a single class, which makes the domain label
            the ordinary one and the discriminator one of two outputs.
        temperature: divides the logits; above 1 the encoding is softer.
        clip: the largest entry of a soft encoding, in (0, 1].

    Returns:
        (B, K, H, W), or (B, 1, H, W) for ``binary``; float32, or float64 for logits in float64; detached.
    """
    logits = full_precision(logits.detach())
    if kind == "binary":
        return torch.ones_like(logits[:, :1])
    if kind == "hard":
        return torch.zeros_like(logits).scatter_(1, logits.argmax(dim=1, keepdim=True), 1.0)
    return (logits / temperature).softmax(dim=1).clamp(max=clip)


def class_domain_loss(prediction: Tensor, encoding: Tensor, domain: Domain) -> Tensor:
    """Cross-entropy over 2K outputs with the domain label [a; 0] (source) or [0; a] (target), mean over pixels.

    With the detached source and target features this is the discriminator's loss (Zhao et al. eq. 2, one half each);
    with target features and ``domain="source"`` it is the adversarial loss, which asks that each target pixel be taken
    for a source pixel *of its own class* (eq. 3).

    Args:
        prediction: raw outputs (B, 2K, H, W): the K classes of the source, then the K classes of the target.
        encoding: a, (B, K, H, W), see :func:`class_encoding`.
        domain: which half the label lies in.

    Returns:
        A scalar in nats; float32, or float64 for a prediction in float64.
    """
    classes = encoding.shape[1]
    if prediction.shape[1] != 2 * classes:
        raise ValueError(
            f"{classes} classes need {2 * classes} outputs of the discriminator, not {prediction.shape[1]}"
        )
    log_probabilities = full_precision(prediction).log_softmax(dim=1)
    half = log_probabilities[:, :classes] if domain == "source" else log_probabilities[:, classes:]
    return -(encoding * half).sum(dim=1).mean()
