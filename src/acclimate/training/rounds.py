"""What a round of self-training trains on: a growing part of the source, and crops around rare classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from acclimate.data.sample import Dataset
from acclimate.data.wrappers import Subset


class Mining(BaseModel):
    """Crops around classes that are rare in the target's predictions (CBST's "mining").

    Attributes:
        chance: of such a crop (0.8 published).
        classes: how many of the rarest classes (3 published).
        share: classes predicted for fewer than this fraction of the pixels come first (0.001 published): where there
            are any, they alone are mined, however many.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chance: float = Field(default=0.8, ge=0, le=1)
    classes: PositiveInt = 3
    share: NonNegativeFloat = 0.001

    def rare_classes(self, predicted: Sequence[int]) -> tuple[int, ...]:
        """Train ids to mine, ascending.

        Args:
            predicted: pixels predicted as each class over the whole target; classes without any cannot be found and
                are left out.
        """
        present = [index for index, pixels in enumerate(predicted) if pixels > 0]
        total = sum(predicted)
        rare = [index for index in present if predicted[index] < self.share * total]
        return tuple(sorted(rare or sorted(present, key=lambda index: predicted[index])[: self.classes]))


def source_part(dataset: Dataset, portion: float, *, seed: int) -> Dataset:
    """The first ``portion`` of the source in an order drawn from the seed, at least one image.

    Larger portions of the same seed hold the smaller ones ("cumulative" sampling of CBST).
    """
    if portion >= 1:
        return dataset
    count = max(1, math.ceil(portion * len(dataset) - 1e-9))
    order = np.random.default_rng([seed, 0x5A]).permutation(len(dataset))
    return Subset(dataset, sorted(int(index) for index in order[:count]))
