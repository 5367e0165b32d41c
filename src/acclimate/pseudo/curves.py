"""Error share against kept share, for any number of thresholds, from one pass over labelled images.

Two histograms, of rightly and of wrongly predicted pixels, hold all that is needed: every rule can be tried afterwards
without looking at an image again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from acclimate.labels import VOID
from acclimate.pseudo.confidence import Confidence
from acclimate.pseudo.histogram import ScoreHistogram, accumulate, bins_for, countable
from acclimate.pseudo.quality import VOIDS, Void, share_of
from acclimate.pseudo.thresholds import Convention, Kept, Selection, Thresholds, class_thresholds, kept_share

_RIGHT, _WRONG, _VOID = range(3)


class JudgedHistogram:
    """A score histogram split into rightly predicted pixels, wrongly predicted ones, and those whose label is void.

    Args:
        classes: how many; at most 255.
        confidence: whose uncertainties these are.
        device: where counting happens.

    Attributes:
        counts: (3, classes, bins) int64; right, wrong, void. Those of several processes add up.
    """

    def __init__(self, classes: int, confidence: Confidence, *, device: torch.device | str = "cpu") -> None:
        self.confidence = confidence
        self.counts = torch.zeros(3, classes, bins_for(classes), dtype=torch.int64, device=device)

    def add(self, prediction: Tensor, uncertainty: Tensor, label: Tensor) -> None:
        """Counts the pixels of one or several images.

        Args:
            prediction: uint8 classes of any shape; void pixels are left out.
            uncertainty: float32 in [0, 1], the same shape; NaN pixels are left out.
            label: uint8 true train ids, the same shape, void 255.
        """
        classes, device = self.counts.shape[1], self.counts.device
        if label.shape != prediction.shape or label.dtype != torch.uint8:
            raise ValueError(f"expected a uint8 label of shape {tuple(prediction.shape)}, got {tuple(label.shape)}")
        # the judgement travels with the score through the removal of pixels that do not count
        judgement = label.ne(prediction).to(torch.uint8).masked_fill_(label == VOID, _VOID)
        for verdict in (_RIGHT, _WRONG, _VOID):
            chosen = judgement == verdict
            rows, values = countable(prediction[chosen], uncertainty[chosen], classes, device)
            accumulate(self.counts[verdict], rows, values)

    def merge(self, other: JudgedHistogram) -> None:
        """Adds the counts of another histogram of the same classes and confidence."""
        if (other.counts.shape, other.confidence) != (self.counts.shape, self.confidence):
            raise ValueError("cannot merge histograms of different classes or confidences")
        self.counts += other.counts.to(self.counts.device)

    @classmethod
    def of(cls, parts: Mapping[str, ScoreHistogram]) -> JudgedHistogram:
        """The inverse of :meth:`parts`, for histograms read back from disk; copies them."""
        right, wrong, void = (parts[name] for name in ("right", "wrong", "void"))
        judged = cls.__new__(cls)
        judged.confidence = right.confidence
        judged.counts = torch.stack([right.counts, wrong.counts, void.counts])
        return judged

    def parts(self) -> dict[str, ScoreHistogram]:
        """The three histograms, sharing memory with this one: ``right``, ``wrong``, ``void``."""
        names = ("right", "wrong", "void")
        return {name: ScoreHistogram.of(self.counts[i], self.confidence) for i, name in enumerate(names)}

    def everything(self) -> ScoreHistogram:
        """The histogram of all pixels, judged or not: what thresholds are computed from."""
        return ScoreHistogram.of(self.counts.sum(dim=0), self.confidence)

    def error_share(self, thresholds: Thresholds, *, void: Void) -> list[float | None]:
        """Share of wrong pixels among those selected as each class; None where none counts."""
        return [share_of(wrong, wrong + right) for right, wrong in self._selected(thresholds, void)]

    def overall_error_share(self, thresholds: Thresholds, *, void: Void) -> float | None:
        """Share of wrong pixels among all selected ones; None where none counts."""
        pairs = self._selected(thresholds, void)
        wrong = sum(pair[1] for pair in pairs)
        return share_of(wrong, wrong + sum(pair[0] for pair in pairs))

    def _selected(self, thresholds: Thresholds, void: Void) -> list[tuple[float, float]]:
        """Right and wrong pixels among the selected, by class."""
        right, wrong, unknown = (kept_share(part, thresholds).kept for part in self.parts().values())
        extra = unknown if void == "wrong" else [0.0] * len(wrong)
        return [(r, w + e) for r, w, e in zip(right, wrong, extra, strict=True)]


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve; fractions.

    Attributes:
        portion: what was asked for.
        kept: share of all pixels that is selected.
        error: share of wrong pixels among the selected; None when nothing counts.
    """

    portion: float
    kept: float
    error: float | None


def error_against_kept(
    judged: JudgedHistogram,
    *,
    portions: Sequence[float],
    by: Literal["class", "global"] = "class",
    void: Void = "ignored",
) -> list[CurvePoint]:
    """How the error among selected pixels grows with the share that is selected.

    Args:
        judged: of one confidence, over a labelled set.
        portions: shares to keep, in (0, 1].
        by: the same portion of every predicted class, or of all pixels together.
        void: what selected pixels with a void label count.
    """
    everything, points = judged.everything(), []
    for portion in portions:
        rule: Literal["portion", "global"] = "portion" if by == "class" else "global"
        selection = Selection(confidence=judged.confidence, rule=rule, portion=portion)
        thresholds = class_thresholds(everything, selection)
        kept = kept_share(everything, thresholds).overall
        points.append(CurvePoint(portion, kept or 0.0, judged.overall_error_share(thresholds, void=void)))
    return points


@dataclass(frozen=True)
class SweepRow:
    """One setting of a sweep.

    Attributes:
        name: the bound as papers write it, or ``median``.
        selection: the setting.
        thresholds: per class, as papers write them.
        kept: per class and overall.
        error: for each convention of void, share of wrong pixels among the selected; None without labels.
    """

    name: str
    selection: Selection
    thresholds: list[float]
    kept: Kept
    error: dict[Void, float | None] | None


TABLE_5_FLOORS = (0.05, 0.1, 0.15, 0.2, 0.3)


def threshold_sweep(
    histogram: ScoreHistogram | JudgedHistogram,
    *,
    bounds: Sequence[float] = TABLE_5_FLOORS,
    convention: Convention = "paper",
) -> list[SweepRow]:
    """The thresholds and kept shares of ESL Table 5, and the error shares where there are labels, from one pass.

    Args:
        histogram: of either confidence; a judged one also gives error shares.
        bounds: values of the floor nu* (entropy) or of the cap mu* (softmax); the row ``median`` comes last.
        convention: see :class:`Selection`.
    """
    judged = histogram if isinstance(histogram, JudgedHistogram) else None
    everything = histogram.everything() if isinstance(histogram, JudgedHistogram) else histogram
    confidence = histogram.confidence
    key = "cap" if confidence == "softmax" else "floor"
    settings = [(f"{bound:g}", {key: bound}) for bound in bounds] + [("median", {"rule": "median"})]
    rows = []
    for name, values in settings:
        selection = Selection.model_validate({"confidence": confidence, "convention": convention, **values})
        thresholds = class_thresholds(everything, selection)
        error: dict[Void, float | None] | None = None
        if judged is not None:
            error = {void: judged.overall_error_share(thresholds, void=void) for void in VOIDS}
        rows.append(SweepRow(name, selection, thresholds.published(), kept_share(everything, thresholds), error))
    return rows
