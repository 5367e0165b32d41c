"""Labels, entropy and confidence from one network or an ensemble, in memory that does not grow with the output size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.models.network import evaluation_mode
from acclimate.models.resize import enlarged_rows, upsample

_ELEMENTS_AT_ONCE = 1 << 23
"""Values of the enlarged (B, C, rows, W) map held at a time: 32 MB in float32; one whole Cityscapes image is 160 MB."""


@dataclass
class Prediction:
    """What a network says about a batch.

    Attributes:
        labels: (B, H, W) uint8 train ids.
        entropy: (B, H, W) float32, normalised by ln C to [0, 1] (ADVENT, equation 2).
        confidence: (B, H, W) float32, the probability of the label, in [0, 1].
    """

    labels: Tensor
    entropy: Tensor
    confidence: Tensor


@torch.no_grad()
def predict(
    networks: Sequence[nn.Module],
    images: Tensor,
    *,
    size: tuple[int, int],
    inference: Inference = ONCE,
    weights: Sequence[float] | None = None,
) -> Prediction:
    """Label, entropy and confidence maps at a given size, from the main level of one network or of an ensemble.

    Args:
        networks: each returns an object whose ``logits`` are (B, C, h, w). They run in evaluation mode and are left in
            the mode they came in.
        images: (B, 3, H, W) RGB in [0, 1], at the size the networks see (:meth:`Inference.prepared`).
        size: height and width of the maps, usually the label's native size.
        inference: how networks are asked and what is averaged. By default once, and the mean of enlarged logits over
            an ensemble, which is the rule of ADVENT's scripts (AdvEnt + MinEnt, 0.5 each).
        weights: one positive weight per network, normalised to sum to one; equal by default.

    Raises:
        UserError: the networks have different numbers of classes.
        ValueError: weights that make no sense.
    """
    labels, entropies, confidences = [], [], []
    for rows, are_probabilities in _mean_rows(networks, images, size, inference, weights):
        best = rows.max(dim=1)
        labels.append(best.indices.to(torch.uint8))
        entropies.append(_normalised_entropy(rows, are_probabilities))
        confidences.append(best.values if are_probabilities else (best.values - rows.logsumexp(dim=1)).exp())
    return Prediction(*(torch.cat(parts, dim=1) for parts in (labels, entropies, confidences)))


@torch.no_grad()
def predict_labels(
    networks: Sequence[nn.Module],
    images: Tensor,
    *,
    size: tuple[int, int],
    inference: Inference = ONCE,
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Only the label maps of :func:`predict`, (B, H, W) uint8: scoring needs no more, which costs as much again."""
    chunks = _mean_rows(networks, images, size, inference, weights)
    # max and argmax agree, the first of equals counting; on a CPU max takes a quarter of the time here
    return torch.cat([rows.max(dim=1).indices.to(torch.uint8) for rows, _ in chunks], dim=1)


def _mean_rows(
    networks: Sequence[nn.Module],
    images: Tensor,
    size: tuple[int, int],
    inference: Inference,
    weights: Sequence[float] | None,
) -> Iterator[tuple[Tensor, bool]]:
    """Yields the averaged (B, C, rows, W) maps from top to bottom, and whether they are probabilities."""
    average = inference.average or inference.resample
    maps = [
        (low, share / inference.views)
        for network, share in zip(networks, normalised_weights(weights, len(networks)), strict=True)
        for low in views(network, images, inference)
    ]
    classes = {low.shape[1] for low, _ in maps}
    if len(classes) > 1:
        counts = " and ".join(str(count) for count in sorted(classes))
        raise UserError(
            f"the networks of an ensemble must share one class space, but these have {counts} classes; "
            "give checkpoints trained on the same class space"
        )
    soften = inference.resample == "logits" and average == "probabilities"
    height, width = size
    rows_at_once = max(1, _ELEMENTS_AT_ONCE // (images.shape[0] * classes.pop() * width))
    for top in range(0, height, rows_at_once):
        total: Tensor | None = None
        for low, share in maps:
            rows = enlarged_rows(low, range(top, min(top + rows_at_once, height)), size, inference.align_corners)
            rows = rows.softmax(dim=1) if soften else rows
            rows = rows if len(maps) == 1 else rows * share
            total = rows if total is None else total.add_(rows)
        assert total is not None
        yield total, average == "probabilities"


def normalised_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """Weights of an ensemble's members that sum to one; equal where none are given."""
    if count == 0:
        raise ValueError("predict needs at least one network")
    values = [1.0] * count if weights is None else list(weights)
    if len(values) != count or min(values) <= 0:
        raise ValueError(f"expected {count} positive weights, one per network, got {values}")
    return [value / sum(values) for value in values]


def views(network: nn.Module, images: Tensor, inference: Inference) -> Iterator[Tensor]:
    """What a network says of every view of the images: per scale that of the images and, if asked, the mirrored ones'.

    Yields:
        (B, C, h, w) float32 logits or, with ``resample: probabilities``, their softmax, as the images lie; at the
        network's stride or, with a window, at the size of the view.
    """

    def answer(view: Tensor) -> Tensor:
        logits: Tensor = network(view).logits.float()
        return logits.softmax(dim=1) if inference.resample == "probabilities" else logits

    with evaluation_mode(network):
        for scale in inference.scales:
            view = images
            if scale != 1.0:
                target = [max(1, round(side * scale)) for side in images.shape[2:]]
                view = F.interpolate(images, size=target, mode="bilinear", align_corners=inference.align_corners)
            for mirrored in (False, True) if inference.flip else (False,):
                seen = view.flip(3) if mirrored else view
                low = answer(seen) if inference.window is None else slid(answer, seen, inference)
                # a network may pad on one side only, so the mirrored output, not its argmax, is turned back
                yield low.flip(3) if mirrored else low


def slid(answer: Callable[[Tensor], Tensor], images: Tensor, inference: Inference) -> Tensor:
    """The answer at every pixel, averaged over the windows that hold it.

    Args:
        answer: (B, 3, h, w) images -> (B, C, h', w') maps, which are enlarged to (h, w).
        images: (B, 3, H, W).
        inference: its ``window`` is cut down to the image where that is smaller; the last window of a row or column
            ends at the image's edge.

    Returns:
        (B, C, H, W).
    """
    assert inference.window is not None
    (batch, _, height, width), window = images.shape, inference.window
    across, down = min(window[0], width), min(window[1], height)
    step_x, step_y = inference.stride or (max(1, window[0] * 2 // 3), max(1, window[1] * 2 // 3))
    corners = [(top, left) for top in _starts(height, down, step_y) for left in _starts(width, across, step_x)]
    total: Tensor | None = None
    held = images.new_zeros(1, 1, height, width, dtype=torch.float32)
    for first in range(0, len(corners), inference.windows_at_once):
        group = corners[first : first + inference.windows_at_once]
        low = answer(torch.cat([images[:, :, top : top + down, left : left + across] for top, left in group]))
        large = upsample(low, (down, across), align_corners=inference.align_corners)
        if total is None:
            total = low.new_zeros(batch, low.shape[1], height, width)
        for number, (top, left) in enumerate(group):
            place = (..., slice(top, top + down), slice(left, left + across))
            total[place] += large[number * batch : (number + 1) * batch]
            held[place] += 1
    assert total is not None
    return total / held


def _starts(length: int, window: int, step: int) -> list[int]:
    """Where windows begin along a side: every ``step``, and one that ends at the edge."""
    return [*range(0, length - window, step), length - window]


def _normalised_entropy(rows: Tensor, are_probabilities: bool) -> Tensor:
    """-(1 / ln C) sum_c P ln P of (B, C, rows, W) logits or probabilities, in [0, 1]; 0 ln 0 is 0."""
    if rows.shape[1] == 1:
        return torch.zeros_like(rows[:, 0])
    if are_probabilities:
        entropy = torch.special.entr(rows).sum(dim=1)
    else:
        log_probabilities = rows.log_softmax(dim=1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1)
    normalised: Tensor = entropy / math.log(rows.shape[1])
    return normalised.clamp_(0.0, 1.0)
