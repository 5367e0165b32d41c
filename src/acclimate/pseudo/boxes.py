"""Which of a detector's boxes become pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import unknown

Score = Annotated[float, Field(ge=0.0, le=1.0)]


def annotations_of(split: str) -> str:
    """The file of a split's boxes, within the folder of pseudo-labels."""
    return f"annotations/{split}.json"


class BoxSelection(BaseModel):
    """Which detections become pseudo-labels.

    Attributes:
        threshold: the score from which a box is one.
        by_class: class name -> its own threshold.
        crowd_from: boxes with scores from here to the threshold are written as crowds, which are neither trained on nor
            scored; None: they are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Score = 0.5
    by_class: dict[str, Score] = Field(default_factory=dict)
    crowd_from: Score | None = None

    def thresholds(self, classes: Sequence[str]) -> list[float]:
        """The threshold of each class.

        Raises:
            UserError: there is one for a class that is none of these.
        """
        for name in self.by_class:
            if name not in classes:
                raise unknown("class of the detector", name, classes)
        return [self.by_class.get(name, self.threshold) for name in classes]
