"""The decision of CBST: the class that exceeds its own threshold the most, rather than the most probable one."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.labels import VOID
from acclimate.models.resize import enlarged_rows
from acclimate.pseudo.confidence import ScoreMaps
from acclimate.pseudo.thresholds import Thresholds

_ELEMENTS_AT_ONCE = 1 << 21


@torch.no_grad()
def class_balanced_labels(probabilities: Tensor, maps: ScoreMaps, thresholds: Thresholds) -> Tensor:
    """argmax_c P_c / exp(-k_c) where that maximum exceeds 1 (CBST, eq. 3; at least 1 in the authors' code), else void.

    A class that is rarely sure of itself has a low threshold and may win over a more probable one. Whether the most
    probable class itself exceeds its threshold is decided on its uncertainty 1 - P, which keeps its precision where P
    rounds to 1; the other classes' probabilities are at most a half and need no such care.

    Args:
        probabilities: (B, C, h, w) float32, enlarged bilinearly to the maps' size.
        maps: predictions and softmax uncertainties of the same images, (B, H, W).
        thresholds: of softmax: 1 - exp(-k_c) for each class; that of a class never predicted is 0, so exp(-k_c) is 1.

    Returns:
        (B, H, W) uint8 train ids, void 255.
    """
    if thresholds.confidence != "softmax":
        raise ValueError("CBST's decision divides probabilities by thresholds of probabilities")
    batch, classes = probabilities.shape[:2]
    height, width = maps.prediction.shape[1:]
    device = probabilities.device
    least = torch.tensor(thresholds.published(), dtype=torch.float64).clamp_(min=1e-12).float().to(device)
    limits = thresholds.limits().to(device)
    same = (probabilities.shape[2], probabilities.shape[3]) == (height, width)
    labels = torch.empty_like(maps.prediction)
    step = max(1, _ELEMENTS_AT_ONCE // (batch * classes * width))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        wanted = range(rows.start, rows.stop)
        part = probabilities[:, :, rows] if same else enlarged_rows(probabilities, wanted, (height, width))
        ratio = part / least.view(1, -1, 1, 1)
        predicted = maps.prediction[:, rows].long()
        invalid = predicted == VOID
        best = predicted.masked_fill(invalid, 0).unsqueeze(1)
        own = ratio.gather(1, best).squeeze(1)
        rival_ratio, rival = ratio.scatter(1, best, 0.0).max(dim=1)
        kept = maps.uncertainty["softmax"][:, rows] < limits[best.squeeze(1)]
        exceeds = rival_ratio >= 1 if thresholds.inclusive else rival_ratio > 1
        rival_wins = exceeds & (~kept | (rival_ratio > own))
        chosen = torch.where(rival_wins, rival, torch.where(kept, predicted, VOID))
        labels[:, rows] = chosen.masked_fill(invalid, VOID).to(torch.uint8)
    return labels
