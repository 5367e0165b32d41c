"""How sure a network is of every pixel: the predicted class and its *uncertainty*, for both confidences.

Softmax self-training and ESL differ only in the score they threshold. Both are kept here as an uncertainty in [0, 1],
where lower is better:

- ``softmax``: u = 1 - max_c P(c), so that P > mu (BDL; ESL eq. 5) reads u < 1 - mu;
- ``entropy``: u = E = -(1 / ln C) sum_c P ln P (ESL eq. 7).

Half the pixels of easy classes have a maximum probability above 0.9999, where float32 has few values left below 1. The
uncertainty is therefore computed from the *other* classes' probabilities, never as a difference from 1: it keeps its
relative precision down to 1e-38, and no two pixels become equal only because both round to a probability of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from acclimate.labels import VOID
from acclimate.models.resize import enlarged_rows

Confidence = Literal["softmax", "entropy"]
"""What tells sure pixels from unsure ones: the maximum probability or the normalised entropy."""
Resample = Literal["logits", "probabilities"]
"""What is enlarged to the size of the pseudo-labels. The authors of BDL and ESL enlarge probabilities."""

CONFIDENCES: tuple[Confidence, ...] = ("softmax", "entropy")

_ELEMENTS_AT_ONCE = 1 << 21
"""Values of the enlarged (B, C, rows, W) map held at a time, 8 MB in float32, however large the image."""
_LOWEST_EXPONENT = -200.0
"""exp() of it is already 0 in float32; a logit of -inf (a masked class) would make 0 * -inf of the entropy's term."""


@dataclass(frozen=True)
class ScoreMaps:
    """Predictions and how uncertain they are.

    Attributes:
        prediction: (B, H, W) uint8 class; void (255) where the network gave NaN or infinite values.
        uncertainty: for each confidence (B, H, W) float32 in [0, 1], lower is better; NaN where the prediction is void.
        probabilities: (B, C, h, w) what they came from, at the network's or the images' size; None unless asked for.
    """

    prediction: Tensor
    uncertainty: dict[Confidence, Tensor]
    probabilities: Tensor | None = None

    def published(self, confidence: Confidence) -> Tensor:
        """(B, H, W) float32 scores as papers plot them: maximum probability (higher is better) or entropy (lower)."""
        return published_score(self.uncertainty[confidence], confidence)


def published_score(uncertainty: Tensor, confidence: Confidence) -> Tensor:
    """Uncertainty as the papers' score: the maximum probability 1 - u, or the entropy itself."""
    return 1.0 - uncertainty if confidence == "softmax" else uncertainty


@torch.no_grad()
def score_maps(
    logits: Tensor,
    *,
    size: tuple[int, int] | None = None,
    resample: Resample = "probabilities",
    confidences: Sequence[Confidence] = CONFIDENCES,
) -> ScoreMaps:
    """Predictions and uncertainties of a batch of logits, enlarged bilinearly with aligned corners.

    The order matters (ESL's scripts, and the default: softmax, then enlarge): the entropy of interpolated
    probabilities is at least the interpolation of the entropies, so it rises between two confident cells of different
    classes, i.e. at the boundaries of regions, where the two confidences differ most.

    Args:
        logits: (B, C, h, w) at the network's stride, any floating type; computed in float32. At most 255 classes.
        size: (H, W) of the maps; None: that of the logits.
        resample: whether logits or probabilities are enlarged.
        confidences: which uncertainties to compute.
    """
    logits = logits.float()
    if resample == "logits":
        return _by_rows(logits, size, confidences, from_logits=True)
    # float32 softmax keeps the relative precision of small probabilities, which is all the uncertainty is made of
    return _by_rows(logits.softmax(dim=1), size, confidences, from_logits=False)


@torch.no_grad()
def score_maps_of_probabilities(
    probabilities: Tensor, *, size: tuple[int, int] | None = None, confidences: Sequence[Confidence] = CONFIDENCES
) -> ScoreMaps:
    """Predictions and uncertainties of probabilities, an ensemble's mean say, enlarged bilinearly.

    Args:
        probabilities: (B, C, h, w), non-negative, summing to 1 over the classes; computed in float32.
        size: (H, W) of the maps; None: that of the probabilities.
        confidences: which uncertainties to compute.
    """
    return _by_rows(probabilities.float(), size, confidences, from_logits=False)


def _by_rows(
    low: Tensor, size: tuple[int, int] | None, confidences: Sequence[Confidence], *, from_logits: bool
) -> ScoreMaps:
    batch, classes, height, width = low.shape
    if not 0 < classes <= VOID:
        raise ValueError(f"pseudo-labels need between 1 and {VOID} classes, got {classes}")
    height, width = size or (height, width)
    prediction = torch.empty(batch, height, width, dtype=torch.uint8, device=low.device)
    uncertainty: dict[Confidence, Tensor] = {
        name: torch.empty(batch, height, width, device=low.device) for name in confidences
    }
    scores = _scores_of_logits if from_logits else _scores_of_probabilities
    step = max(1, _ELEMENTS_AT_ONCE // (batch * classes * width))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        same = (low.shape[2], low.shape[3]) == (height, width)
        part = low[:, :, rows] if same else enlarged_rows(low, range(rows.start, rows.stop), (height, width))
        best, invalid, values = scores(part, confidences)
        prediction[:, rows] = best.to(torch.uint8).masked_fill_(invalid, VOID)
        for name, value in values.items():
            uncertainty[name][:, rows] = value.clamp_(0.0, 1.0).masked_fill_(invalid, math.nan)
    return ScoreMaps(prediction, uncertainty)


_Scores = tuple[Tensor, Tensor, dict[Confidence, Tensor]]


def _scores_of_logits(logits: Tensor, confidences: Sequence[Confidence]) -> _Scores:
    """Class, whether it is invalid, and uncertainties, each (B, rows, W).

    With d_c = z_c - max z and s = sum of exp(d_c) over the other classes: 1 - max P = s / (1 + s) and
    E ln C = ln(1 + s) - sum_c exp(d_c) d_c / (1 + s). Every term is non-negative: nothing cancels.
    """
    highest, best = logits.max(dim=1, keepdim=True)
    difference = (logits - highest).clamp_(min=_LOWEST_EXPONENT)
    others = difference.exp().scatter_(1, best, 0.0)
    total = others.sum(dim=1)
    values: dict[Confidence, Tensor] = {}
    if "softmax" in confidences:
        values["softmax"] = total / (1.0 + total)
    if "entropy" in confidences:
        spread = others.mul_(difference).sum(dim=1)
        values["entropy"] = (total.log1p() - spread / (1.0 + total)) / _log_classes(logits)
    return best.squeeze(1), ~highest.squeeze(1).isfinite(), values


def _scores_of_probabilities(probabilities: Tensor, confidences: Sequence[Confidence]) -> _Scores:
    """The same from probabilities; the largest one's term is computed from the others too, x ln x being 0 at 0."""
    highest, best = probabilities.max(dim=1, keepdim=True)
    others = probabilities.scatter(1, best, 0.0)
    total = others.sum(dim=1)
    values: dict[Confidence, Tensor] = {}
    if "entropy" in confidences:
        # the largest of C <= 255 probabilities is at least 1 / 255, so the clamp only guards against rounding
        largest = (total - 1.0) * torch.log1p(-total.clamp(max=0.9999))
        values["entropy"] = (torch.special.entr(others).sum(dim=1) + largest) / _log_classes(probabilities)
    if "softmax" in confidences:
        values["softmax"] = total
    highest = highest.squeeze(1)
    return best.squeeze(1), ~(highest.isfinite() & (highest > 0)), values


def _log_classes(maps: Tensor) -> float:
    """ln C; 1 for a single class, whose entropy is 0 whatever it is divided by."""
    return math.log(maps.shape[1]) if maps.shape[1] > 1 else 1.0
