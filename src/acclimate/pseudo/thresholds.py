"""From a score histogram to one threshold per class: the rules of softmax self-training, ESL and CBST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from acclimate.pseudo.confidence import Confidence, Resample
from acclimate.pseudo.histogram import ScoreHistogram

Rule = Literal["capped", "median", "portion", "global", "fixed"]
Convention = Literal["paper", "authors"]
Decision = Literal["most probable", "class-balanced"]


class Selection(BaseModel):
    """Which pixels become pseudo-labels.

    Attributes:
        confidence: the score: maximum ``softmax`` (BDL; ESL eq. 5) or ``entropy`` (ESL eq. 7).
        rule: ``capped``: the median of the class, but never stricter than ``cap`` or ``floor`` (ESL eq. 6, 8-9);
            ``median``: without that bound (the last row of ESL Table 5); ``portion``: the most confident share of each
            class (CBST); ``global``: the most confident share of all pixels (plain self-training); ``fixed``: what
            passes the bound alone, however little that is of a class (ProDA: ``cap`` 0.95).
        cap: mu*: with softmax, pixels more probable than this are always kept.
        floor: nu*: with entropy, pixels below this normalised entropy are always kept.
        portion: the share of pixels that ``portion`` and ``global`` keep; with ``capped`` the share that the bound may
            only add to, half of the class unless given (FDA's text keeps 0.66, its code 0.34).
        convention: ``paper``: strict inequalities and the median. ``authors``: as the published scripts, which keep
            scores equal to the threshold, take the element of index round(0.5 n) of the ascending scores (rounding
            halves to even), and 0 for a class that is never predicted.
        decision: which class a pixel gets: the ``most probable`` one, where it passes its threshold; or
            ``class-balanced``: argmax P_c / exp(-k_c), where that exceeds 1 (CBST). With the authors' convention the
            threshold is then the element of rank floor(portion * n), and P = 1 where that rank is 0.
        resample: whether ``probabilities`` (the authors' choice) or ``logits`` are enlarged to the labels' size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: Confidence = "entropy"
    rule: Rule = "capped"
    cap: float = Field(default=0.9, gt=0, le=1)
    floor: float = Field(default=0.1, ge=0, lt=1)
    portion: float = Field(default=0.5, gt=0, le=1)
    convention: Convention = "paper"
    decision: Decision = "most probable"
    resample: Resample = "probabilities"

    @model_validator(mode="after")
    def _portion_is_read(self) -> Selection:
        if self.portion != 0.5 and self.rule in ("median", "fixed"):
            raise ValueError(
                f"portion is not read by the rule {self.rule!r}; set rule to 'portion', 'capped' or 'global'"
            )
        if self.decision == "class-balanced" and (self.confidence, self.rule) != ("softmax", "portion"):
            raise ValueError(
                "decision: class-balanced divides by CBST's thresholds; set confidence: softmax, rule: portion"
            )
        return self

    @property
    def bound(self) -> float:
        """The uncertainty below which the ``capped`` rule keeps every pixel, and the ``fixed`` rule alone keeps any."""
        return 1.0 - self.cap if self.confidence == "softmax" else self.floor


@dataclass(frozen=True)
class Thresholds:
    """One threshold per class.

    Attributes:
        confidence: the score they apply to.
        inclusive: whether a score equal to the threshold is kept.
        uncertainty: thresholds of the uncertainty (1 - P, or E), in class order.
    """

    confidence: Confidence
    inclusive: bool
    uncertainty: tuple[float, ...]

    def published(self) -> list[float]:
        """Thresholds as the papers write them: mu(c), a probability, or nu(c), an entropy; in [0, 1]."""
        values = [min(max(value, 0.0), 1.0) for value in self.uncertainty]
        return [1.0 - value for value in values] if self.confidence == "softmax" else values

    def limits(self) -> Tensor:
        """The float32 numbers, (256,), for which "kept" means exactly u < limit; 0, hence never, beyond the classes."""
        limits = torch.zeros(256)
        limits[: len(self.uncertainty)] = torch.tensor([_limit(u, self.inclusive) for u in self.uncertainty])
        return limits


@dataclass(frozen=True)
class Kept:
    """How much a selection keeps.

    Attributes:
        pixels: predicted as each class.
        kept: of these, kept; not whole where a threshold falls inside a bin of the histogram.
    """

    pixels: list[int]
    kept: list[float]

    @property
    def per_class(self) -> list[float | None]:
        """Kept share of each class in [0, 1]; None for a class that is never predicted."""
        return [kept / total if total else None for kept, total in zip(self.kept, self.pixels, strict=True)]

    @property
    def overall(self) -> float | None:
        """Kept share of all pixels in [0, 1]; None where there is none."""
        return sum(self.kept) / sum(self.pixels) if sum(self.pixels) else None


def class_thresholds(histogram: ScoreHistogram, selection: Selection) -> Thresholds:
    """The thresholds a selection gives on a set of images, accurate to one bin of the histogram.

    In uncertainty, ESL's eq. 6 (mu(c) = min(mu*, median P)) and eq. 9 (nu(c) = max(nu*, median E)) are one formula:
    the larger of the bound and the median. A class that is never predicted gets the bound (paper) or what a score of 0
    gives (authors).
    """
    if histogram.confidence != selection.confidence:
        raise ValueError(f"a histogram of {histogram.confidence} cannot give thresholds of {selection.confidence}")
    inclusive = selection.convention == "authors"
    values: Sequence[float]
    if selection.rule == "global":
        values = [_portion(histogram, None, selection.portion, inclusive)] * histogram.classes
    elif selection.rule == "fixed":
        values = [selection.bound] * histogram.classes
    elif selection.rule == "portion":
        whole = inclusive and selection.decision == "class-balanced"
        values = [_portion(histogram, i, selection.portion, inclusive, whole=whole) for i in range(histogram.classes)]
    else:
        values = [_quantile(histogram, index, selection) for index in range(histogram.classes)]
    if selection.rule == "capped":
        values = [max(selection.bound, value) for value in values]
    return Thresholds(selection.confidence, inclusive, tuple(values))


def kept_share(histogram: ScoreHistogram, thresholds: Thresholds) -> Kept:
    """How much of the histogram's images the thresholds keep."""
    return Kept(histogram.pixels, histogram.below(thresholds.limits()[: histogram.classes].tolist()))


def _quantile(histogram: ScoreHistogram, index: int, selection: Selection) -> float:
    total, portion = int(histogram.counts[index].sum()), selection.portion
    if selection.convention == "paper":
        if portion != 0.5:
            return _portion(histogram, index, portion, False)
        cut = histogram.cut(index, total // 2, ties=False)
        if total == 0:
            return 0.0
        if total % 2 == 0 and cut.kept == total // 2:
            return (cut.after_kept + cut.first_dropped) / 2
        return cut.first_dropped
    if total == 0:
        return 1.0 if selection.confidence == "softmax" else 0.0
    # Python rounds halves to even, as the published scripts do; the maximum probability ascends as uncertainty descends
    below = round(1 - portion, 12) if selection.confidence == "softmax" else portion
    rank = min(round(below * total), total - 1)
    rank = total - 1 - rank if selection.confidence == "softmax" else rank
    cut = histogram.cut(index, rank + 1, ties=True)
    return _last_below(cut.after_kept if cut.kept else cut.first_dropped)


def _portion(
    histogram: ScoreHistogram, index: int | None, portion: float, inclusive: bool, *, whole: bool = False
) -> float:
    counts = histogram.counts.cpu().numpy()
    total = int(counts.sum() if index is None else counts[index].sum())
    if total == 0:
        return 0.0
    # CBST's script takes element floor(n p) - 1 of the descending scores, and leaves the threshold at P = 1 without one
    target = int(portion * total) if whole else portion * total
    if whole and target == 0:
        return 0.0
    cut = histogram.cut(index, target, ties=inclusive)
    if not inclusive:
        return cut.first_dropped
    return _last_below(cut.after_kept if cut.kept else cut.first_dropped)


def _last_below(edge: float) -> float:
    """The largest float32 below an edge between bins: "u <= it" then keeps just the bins below."""
    return float(np.nextafter(np.float32(edge), np.float32(-1)))


def _limit(threshold: float, inclusive: bool) -> float:
    """The smallest float32 not kept, so that comparing float32 scores with it decides as real numbers would."""
    nearest = np.float32(threshold)
    above = np.nextafter(nearest, np.float32(np.inf))
    if inclusive:
        return float(nearest if float(nearest) > threshold else above)
    return float(nearest if float(nearest) >= threshold else above)
