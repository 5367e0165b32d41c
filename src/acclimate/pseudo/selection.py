"""From predictions, scores and thresholds to pseudo-labels."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.pseudo.thresholds import Thresholds


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
