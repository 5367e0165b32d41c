"""The scores of a whole set in both confidences, split into right and wrong where its labels are known."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.curves import JudgedHistogram
from acclimate.pseudo.histogram import ScoreHistogram, load_histograms, save_histograms
from acclimate.pseudo.thresholds import Selection, Thresholds, class_thresholds

log = logging.getLogger(__name__)


class ScoreCounts:
    """What labelling counts in its first pass over the images.

    Args:
        classes: how many; at most 255.
        labelled: whether the set's true labels come with the scores.
        device: where counting happens.

    Attributes:
        judged: a histogram per confidence where the set is labelled; empty where not.
        plain: a histogram per confidence where it is not; empty where it is.
    """

    def __init__(self, classes: int, *, labelled: bool, device: torch.device | str = "cpu") -> None:
        self.device = device
        self.judged: dict[Confidence, JudgedHistogram] = {}
        self.plain: dict[Confidence, ScoreHistogram] = {}
        for name in CONFIDENCES:
            if labelled:
                self.judged[name] = JudgedHistogram(classes, name, device=device)
            else:
                self.plain[name] = ScoreHistogram(classes, name, device=device)

    def add(self, maps: ScoreMaps, labels: Tensor | None) -> None:
        """Counts the pixels of one or several images; ``labels`` are (B, H, W) uint8 train ids, or None."""
        for name, histogram in self.plain.items():
            histogram.add(maps.prediction, maps.uncertainty[name])
        for name, judged in self.judged.items():
            assert labels is not None
            judged.add(maps.prediction, maps.uncertainty[name], labels)

    def histogram(self, confidence: Confidence) -> JudgedHistogram | ScoreHistogram:
        """The scores of a confidence, with the judgement where there is one."""
        return self.judged[confidence] if self.judged else self.plain[confidence]

    def everything(self, confidence: Confidence) -> ScoreHistogram:
        """The scores of all pixels, judged or not: what thresholds are computed from."""
        return self.judged[confidence].everything() if self.judged else self.plain[confidence]

    def thresholds(self, selection: Selection) -> dict[Confidence, Thresholds]:
        """The selection's thresholds; those of the other confidence, for comparison, under the same rule."""
        compared: dict[Confidence, Thresholds] = {}
        for name in CONFIDENCES:
            update: dict[str, object] = {"confidence": name}
            if name != selection.confidence:
                update["decision"] = "most probable"
            compared[name] = class_thresholds(self.everything(name), selection.model_copy(update=update))
        return compared

    def save(self, path: Path, *, images: int) -> None:
        """Writes the counts of the first ``images`` images, atomically."""
        save_histograms(path, self._parts(), progress={"images": str(images)})

    def restore(self, path: Path) -> int:
        """Takes up what :meth:`save` wrote; returns how many images it covers, 0 where there is nothing to take up."""
        if not path.exists():
            return 0
        try:
            saved, place = load_histograms(path, device=self.device)
        except UserError as error:
            log.warning("labelling begins its first pass anew: %s", error)
            return 0
        for name, histogram in self._parts().items():
            histogram.counts += saved[name].counts
        return int(place["images"])

    def _parts(self) -> dict[str, ScoreHistogram]:
        """Histograms by their names in the file; they share memory with these."""
        parts: dict[str, ScoreHistogram] = {**dict(self.plain.items())}
        for name, judged in self.judged.items():
            parts |= {f"{name}/{part}": histogram for part, histogram in judged.parts().items()}
        return parts
