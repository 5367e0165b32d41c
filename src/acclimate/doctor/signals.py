"""What the doctor looks at: measured once per run and per trained model, kept as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from acclimate.data.cut import Cut

EXAMINED, SIGNALS = "examined", "signals.json"
"""The folder of a run, and the file in each of its folders, ``sets`` and ``NUMBER-STAGE``."""


class _Signals(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SetSignals(_Signals):
    """Of a run's source and target, before anything is trained.

    Attributes:
        colour_distance: Wasserstein distance of each channel between the domains, in grey levels (0-255).
        aspects: width / height of the pictures of source and target, the median.
        stretches: by how much training makes them wider, source and target: 1 leaves shapes alone.
        target_difference: median difference of evenly spaced target frames from the one before, in grey levels.
        translated: whether the source is translated before anything is trained on it.
        source_rim: what has no class at the sides of all the source's label maps alike.
    """

    colour_distance: tuple[float, float, float]
    aspects: tuple[float, float]
    stretches: tuple[float, float] = (1.0, 1.0)
    target_difference: float | None = None
    translated: bool = False
    source_rim: Cut = Cut()


class SourceSignals(_Signals):
    """Of a model on labelled source pictures.

    Attributes:
        held_out: whether they are of a split that was not trained on.
        iou: class -> IoU, a fraction; None where the class does not occur in these labels.
        accuracy: share of the labelled pixels that are right.
        labels, predicted: class -> share of the labelled pixels, by label and by prediction.
        similarity: share of the pixels on which two of the label maps agree, over all pairs.
        blind: accuracy of one who sees no picture and says of each place what the other label maps say most often.
    """

    split: str
    held_out: bool
    images: int = Field(ge=1)
    iou: dict[str, float | None]
    accuracy: float
    labels: dict[str, float]
    predicted: dict[str, float]
    similarity: float
    blind: float | None = None

    @property
    def miou(self) -> float:
        """Over the classes that occur."""
        known = [value for value in self.iou.values() if value is not None]
        return sum(known) / max(1, len(known))


class TargetSignals(_Signals):
    """Of a model on target pictures, without their labels.

    Attributes:
        predicted: class -> share of the pixels.
        similarity: share of the pixels on which two of the predicted maps agree, over all pairs.
        confidence: mean probability of the predicted class.
        scores: those of :mod:`acclimate.evaluation.label_free`.
    """

    images: int = Field(ge=1)
    predicted: dict[str, float]
    similarity: float
    confidence: float
    scores: dict[str, float] = {}


class ModelSignals(_Signals):
    """Of one trained model; ``source`` is None where the source has no labels that can be read."""

    method: str
    source: SourceSignals | None
    target: TargetSignals
