"""From predictions, scores and thresholds to pseudo-labels: the most probable class, or CBST's class-balanced one."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.labels import VOID
from acclimate.models.resize import enlarged_rows
from acclimate.pseudo.confidence import ScoreMaps
from acclimate.pseudo.thresholds import Selection, Thresholds

_ELEMENTS_AT_ONCE = 1 << 21


def pseudo_labels(maps: ScoreMaps, thresholds: Thresholds, selection: Selection) -> Tensor:
    """The pseudo-labels that a selection's decision gives, (B, H, W) uint8, void 255.

    Args:
        maps: of the images; with the decision ``class-balanced`` they carry probabilities.
        thresholds: of either confidence; entropies know no class but the most probable one.
        selection: its ``decision`` is read.
    """
    if selection.decision == "class-balanced" and thresholds.confidence == "softmax":
        assert maps.probabilities is not None
        return class_balanced_labels(maps.probabilities, maps, thresholds)
    return select(maps.prediction, maps.uncertainty[thresholds.confidence], thresholds)


@torch.no_grad()
def select(prediction: Tensor, uncertainty: Tensor, thresholds: Thresholds) -> Tensor:
    """The pseudo-labels of one or several images: the predicted class where it is sure enough, void elsewhere.

    ESL eq. 5 and 8: kept iff P(c) > mu(c), or E < nu(c), with the thresholds of the predicted class c; not strict in
    the authors' convention. A pixel without a score (NaN) or without a class (void) is never kept.

    Args:
        prediction: uint8 classes of any shape.
        uncertainty: float32, the same shape: 1 - max P or E, of the confidence the thresholds are for.
        thresholds: one per class.

    Returns:
        uint8 of the same shape; train ids, void 255.
    """
    if prediction.shape != uncertainty.shape or prediction.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 classes and uncertainties of one shape, got {prediction.dtype} "
            f"{tuple(prediction.shape)} and {tuple(uncertainty.shape)}"
        )
    classes = prediction.reshape(-1)
    # index_select with int32 positions reads the table several times as fast as indexing with int64 ones
    limits = torch.index_select(thresholds.limits().to(classes.device), 0, classes.to(torch.int32))
    kept = uncertainty.reshape(-1) < limits
    # 0 - 1 wraps around to 255: void where not kept, and or-ing with 0 leaves the class where kept
    return classes.bitwise_or(kept.to(torch.uint8).sub_(1)).view(prediction.shape)


@torch.no_grad()
def class_balanced_labels(probabilities: Tensor, maps: ScoreMaps, thresholds: Thresholds) -> Tensor:
    """CBST's decision: argmax_c P_c / exp(-k_c) where that maximum exceeds 1, else void.

    Equation 3 of CBST; in the authors' code the maximum is at least 1.

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
