"""Label maps and entropy maps from one network or an ensemble, in memory that does not grow with the output size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.evaluation.protocols import Resample
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
    """

    labels: Tensor
    entropy: Tensor


@torch.no_grad()
def predict(
    networks: Sequence[nn.Module],
    images: Tensor,
    *,
    size: tuple[int, int],
    resample: Resample = "logits",
    weights: Sequence[float] | None = None,
    average: Resample | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    align_corners: bool = True,
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
) -> Prediction:
    """Label and entropy maps at a given size, from the main output of one network or of an ensemble.

    Args:
        networks: each returns an object whose ``main`` is (B, C, h, w) logits. They run in evaluation mode and are left
            in the mode they came in.
        images: (B, 3, H, W) RGB in [0, 1].
        size: height and width of the maps, usually the label's native size.
        resample: whether logits or probabilities are enlarged to ``size``, bilinearly.
        weights: one positive weight per network, normalised to sum to one; equal by default.
        average: what is averaged over networks, mirrored images and scales. By default the same as ``resample``: the
            mean of enlarged logits is the ensemble rule of ADVENT's scripts (AdvEnt + MinEnt, 0.5 each).
        flip: average with the prediction for the mirrored images.
        scales: factors of the input size over which predictions are averaged.
        align_corners: of the enlargement, and of the resized inputs of ``scales``.
        window: (width, height) in pixels of a window that slides over the input, see :func:`slid`; None: the whole
            image at once.
        stride: (x, y) in pixels from window to window; None: two thirds of the window.

    Raises:
        UserError: the networks have different numbers of classes.
        ValueError: logits cannot be averaged once probabilities were resampled; weights or scales that make no sense.
    """
    labels, entropies = [], []
    views = _Views(resample, flip, scales, align_corners, window, stride)
    for rows, are_probabilities in _mean_rows(networks, images, size, average, weights, views):
        labels.append(rows.argmax(dim=1).to(torch.uint8))
        entropies.append(_normalised_entropy(rows, are_probabilities))
    return Prediction(torch.cat(labels, dim=1), torch.cat(entropies, dim=1))


@torch.no_grad()
def predict_labels(
    networks: Sequence[nn.Module],
    images: Tensor,
    *,
    size: tuple[int, int],
    resample: Resample = "logits",
    weights: Sequence[float] | None = None,
    average: Resample | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    align_corners: bool = True,
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
) -> Tensor:
    """Only the label maps of :func:`predict`, (B, H, W) uint8: scoring needs no entropy, which costs as much again."""
    views = _Views(resample, flip, scales, align_corners, window, stride)
    chunks = _mean_rows(networks, images, size, average, weights, views)
    return torch.cat([rows.argmax(dim=1).to(torch.uint8) for rows, _ in chunks], dim=1)


@dataclass(frozen=True)
class _Views:
    """How a network is asked about an image; see :func:`predict`."""

    resample: Resample
    flip: bool
    scales: Sequence[float]
    align_corners: bool
    window: tuple[int, int] | None
    stride: tuple[int, int] | None


def _mean_rows(
    networks: Sequence[nn.Module],
    images: Tensor,
    size: tuple[int, int],
    average: Resample | None,
    weights: Sequence[float] | None,
    views: _Views,
) -> Iterator[tuple[Tensor, bool]]:
    """Yields the averaged (B, C, rows, W) maps from top to bottom, and whether they are probabilities."""
    average, resample, align_corners = average or views.resample, views.resample, views.align_corners
    if resample == "probabilities" and average == "logits":
        raise ValueError("probabilities were resampled, so logits cannot be averaged; use average='probabilities'")
    if not views.scales or min(views.scales) <= 0:
        raise ValueError(f"scales must be positive factors of the input size, got {list(views.scales)}")
    shares = _normalised_weights(weights, len(networks))
    count = len(views.scales) * (2 if views.flip else 1)
    maps = [
        (low, share / count)
        for network, share in zip(networks, shares, strict=True)
        for low in _low_resolution_maps(network, images, views)
    ]
    classes = {low.shape[1] for low, _ in maps}
    if len(classes) > 1:
        counts = " and ".join(str(count) for count in sorted(classes))
        raise UserError(
            f"the networks of an ensemble must share one class space, but these have {counts} classes; "
            "give checkpoints trained on the same class space"
        )
    soften = resample == "logits" and average == "probabilities"
    height, width = size
    rows_at_once = max(1, _ELEMENTS_AT_ONCE // (images.shape[0] * classes.pop() * width))
    for top in range(0, height, rows_at_once):
        total: Tensor | None = None
        for low, share in maps:
            rows = enlarged_rows(low, range(top, min(top + rows_at_once, height)), size, align_corners)
            rows = rows.softmax(dim=1) if soften else rows
            rows = rows if len(maps) == 1 else rows * share
            total = rows if total is None else total.add_(rows)
        assert total is not None
        yield total, average == "probabilities"


def _normalised_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    if count == 0:
        raise ValueError("predict needs at least one network")
    values = [1.0] * count if weights is None else list(weights)
    if len(values) != count or min(values) <= 0:
        raise ValueError(f"expected {count} positive weights, one per network, got {values}")
    return [value / sum(values) for value in values]


def _low_resolution_maps(network: nn.Module, images: Tensor, views: _Views) -> Iterator[Tensor]:
    def answer(view: Tensor) -> Tensor:
        logits: Tensor = network(view).logits.float()
        return logits.softmax(dim=1) if views.resample == "probabilities" else logits

    with evaluation_mode(network):
        for scale in views.scales:
            view = images
            if scale != 1.0:
                target = [max(1, round(side * scale)) for side in images.shape[2:]]
                view = F.interpolate(images, size=target, mode="bilinear", align_corners=views.align_corners)
            for mirrored in (False, True) if views.flip else (False,):
                seen = view.flip(3) if mirrored else view
                if views.window is None:
                    low = answer(seen)
                else:
                    low = slid(answer, seen, views.window, stride=views.stride, align_corners=views.align_corners)
                # a network may pad on one side only, so the mirrored output, not its argmax, is turned back
                yield low.flip(3) if mirrored else low


def slid(
    answer: Callable[[Tensor], Tensor],
    images: Tensor,
    window: tuple[int, int],
    *,
    stride: tuple[int, int] | None = None,
    align_corners: bool = True,
) -> Tensor:
    """The answer at every pixel, averaged over the windows that hold it.

    Args:
        answer: (B, 3, h, w) images -> (B, C, h', w') maps, which are enlarged to (h, w).
        images: (B, 3, H, W).
        window: (width, height) in pixels; cut down to the image where that is smaller.
        stride: (x, y) in pixels from window to window, at most the window; two thirds of it by default. The last
            window of a row ends at the image's edge.
        align_corners: of the enlargement.

    Returns:
        (B, C, H, W).
    """
    height, width = images.shape[2:]
    across, down = min(window[0], width), min(window[1], height)
    step_x, step_y = stride or (max(1, window[0] * 2 // 3), max(1, window[1] * 2 // 3))
    total: Tensor | None = None
    held = images.new_zeros(1, 1, height, width, dtype=torch.float32)
    for top in _starts(height, down, step_y):
        for left in _starts(width, across, step_x):
            low = answer(images[:, :, top : top + down, left : left + across])
            if total is None:
                total = low.new_zeros(low.shape[0], low.shape[1], height, width)
            place = (..., slice(top, top + down), slice(left, left + across))
            total[place] += upsample(low, (down, across), align_corners=align_corners)
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
