"""Which images a network is sure of: the target split into easy and hard by mean entropy (IntraDA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import UserError, unknown
from acclimate.pseudo.confidence import ScoreMaps


class EasySplit(BaseModel):
    """How the labelled images are split.

    Attributes:
        share: of the images of lowest mean entropy, which are the easy ones (lambda of IntraDA, 0.67); rounded down.
        rare_classes: names of classes that make an image easier where they are predicted, however unsure it is:
            the entropy is multiplied by (R - r) / R + 0.5, where r of these R classes occur. Empty: the entropy alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.67, gt=0, lt=1)
    rare_classes: list[str] = []


class ImageRanking:
    """The mean entropy of each image, and which classes are predicted in it.

    Attributes:
        images: name -> mean normalised entropy over the pixels that have one, and the train ids predicted.
    """

    def __init__(self) -> None:
        self.images: dict[str, tuple[float, list[int]]] = {}

    def add(self, names: Sequence[str], maps: ScoreMaps) -> None:
        """Takes note of images.

        Args:
            names: one per image.
            maps: with the uncertainties of entropy, (B, H, W).
        """
        for name, entropy, prediction in zip(names, maps.uncertainty["entropy"], maps.prediction, strict=True):
            known = ~entropy.isnan()
            mean = float(entropy[known].double().mean()) if bool(known.any()) else 1.0
            self.images[name] = mean, torch.unique(prediction[known]).tolist()

    def split(self, settings: EasySplit, classes: Sequence[str]) -> Mapping[str, list[str]]:
        """The names of the ``easy`` and of the ``hard`` images, each from the easiest on.

        Raises:
            UserError: a rare class has an unknown name, or one of the parts is empty.
        """
        for name in settings.rare_classes:
            if name not in classes:
                raise unknown("class", name, classes)
        rare = {classes.index(name) for name in settings.rare_classes}

        def score(name: str) -> tuple[float, str]:
            mean, predicted = self.images[name]
            present = len(rare & set(predicted))
            return mean * ((len(rare) - present) / len(rare) + 0.5 if rare else 1.0), name

        ranked = sorted(self.images, key=score)
        count = int(settings.share * len(ranked) + 1e-9)
        if not 0 < count < len(ranked):
            raise UserError(
                f"split.share={settings.share} makes {count} of {len(ranked)} images easy; both parts need one, so "
                "change the share or label more images"
            )
        return {"easy": ranked[:count], "hard": ranked[count:]}
