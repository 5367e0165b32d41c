"""What labelling counts over a whole set: scores before thresholds are known, selected pixels as labels are written.

Both are kept on disk now and then with the images they cover, so that an interrupted command goes on where it stopped.
All counts are whole numbers: what several processes count of different images adds up to what one would count.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.errors import UserError
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.labels import VOID
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.curves import JudgedHistogram
from acclimate.pseudo.histogram import ScoreHistogram, load_histograms, save_histograms
from acclimate.pseudo.quality import SelectionChange, SelectionQuality, quality_table
from acclimate.pseudo.ranking import ImageRanking
from acclimate.pseudo.thresholds import Selection, Thresholds, class_thresholds

log = logging.getLogger(__name__)


Covered = NDArray[np.bool_]
"""(images,): which images of the set were counted."""


class ScoreCounts:
    """The scores of all pixels in both confidences, split into right and wrong where labels are known.

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

    def tensors(self) -> list[Tensor]:
        """All counts, int64, to be added to in place."""
        return [histogram.counts for histogram in self._parts().values()]

    def save(self, path: Path, *, covered: Covered) -> None:
        """Writes the counts of the images covered, atomically."""
        save_histograms(path, self._parts(), progress={"covered": _as_text(covered)})

    def restore(self, path: Path, *, images: int) -> Covered:
        """Adds what :meth:`save` wrote; returns which of so many images it covers, none where there is nothing."""
        nothing = np.zeros(images, dtype=np.bool_)
        if not path.exists():
            return nothing
        try:
            saved, place = load_histograms(path, device=self.device)
            covered = _from_text(place.get("covered"), images)
        except UserError as error:
            log.warning("scores are counted anew: %s", error)
            return nothing
        for name, histogram in self._parts().items():
            histogram.counts += saved[name].counts
        return covered

    def _parts(self) -> dict[str, ScoreHistogram]:
        """Histograms by their names in the file; they share memory with these."""
        parts: dict[str, ScoreHistogram] = {**dict(self.plain.items())}
        for name, judged in self.judged.items():
            parts |= {f"{name}/{part}": histogram for part, histogram in judged.parts().items()}
        return parts


class SelectionCounts:
    """What is selected: how many pixels, how good, and what the two confidences differ in.

    Args:
        classes: names in train-id order.
        confidence: the one whose selection is written.
        labelled: whether the set's true labels are known, which the selections are judged and compared by.
        ranked: whether the images are ranked, too.

    Attributes:
        ranking: of the images; None where nobody asked.
        invalid: pixels for which the network gave NaN or infinite values.
        selected: (256,) int64 pixels written, by class; void at 255.
        change: what differs between the two confidences' selections.
        quality: of each confidence's selection.
    """

    def __init__(self, classes: Sequence[str], *, confidence: Confidence, labelled: bool, ranked: bool = False) -> None:
        self.confidence = confidence
        self.ranking = ImageRanking() if ranked else None
        self.labelled = labelled
        self.invalid = 0
        self.selected: NDArray[np.int64] = np.zeros(256, dtype=np.int64)
        self.change = SelectionChange()
        self.quality = {name: SelectionQuality(classes) for name in CONFIDENCES}

    def add(self, maps: ScoreMaps, picked: Mapping[Confidence, Tensor], labels: Tensor | None) -> None:
        """Counts the pixels of one or several images.

        Args:
            maps: predictions and uncertainties, (B, H, W).
            picked: pseudo-labels, (B, H, W) uint8, void where not selected: the written ones and, in a labelled set,
                those of the other confidence.
            labels: (B, H, W) uint8 true train ids, void 255; None where unknown.
        """
        self.invalid += int((maps.prediction == VOID).sum())
        self.selected += np.bincount(picked[self.confidence].cpu().numpy().ravel(), minlength=256)
        if labels is not None:
            self.change.add(maps.prediction, picked["softmax"], picked["entropy"], labels)
            for name, part in self.quality.items():
                part.add(labels.cpu().numpy(), picked[name].cpu().numpy())

    def measured(self) -> dict[str, Any] | None:
        """As JSON: ``change`` and ``table``, see :mod:`acclimate.pseudo.quality`; None without true labels."""
        if not self.labelled:
            return None
        table = quality_table(self.quality["softmax"], self.quality["entropy"])
        return {"change": self.change.summary(), "table": table}

    def counted(self) -> dict[str, Any]:
        """Everything counted so far, as lists and numbers for :meth:`take`."""
        content: dict[str, Any] = {
            "invalid": self.invalid,
            "selected": self.selected.tolist(),
            "change": self.change.counts.tolist(),
            "quality": {name: part.counts.tolist() for name, part in self.quality.items()},
        }
        if self.ranking is not None:
            content["ranking"] = {name: [mean, classes] for name, (mean, classes) in self.ranking.images.items()}
        return content

    def take(self, counted: Mapping[str, Any]) -> None:
        """Adds what was counted of other images."""
        self.invalid += int(counted["invalid"])
        self.selected += np.array(counted["selected"], dtype=np.int64)
        self.change.counts += np.array(counted["change"], dtype=np.int64)
        for name, part in self.quality.items():
            part.counts += np.array(counted["quality"][name], dtype=np.int64)
        if self.ranking is not None:
            self.ranking.images |= {name: (mean, classes) for name, (mean, classes) in counted["ranking"].items()}

    def save(self, path: Path, *, covered: Covered) -> None:
        """Writes the counts of the images covered, atomically."""
        write_verified_json(path, {"covered": _as_text(covered), **self.counted()})

    def restore(self, path: Path, *, images: int) -> Covered:
        """Adds what :meth:`save` wrote; returns which of so many images it covers, none where there is nothing."""
        nothing = np.zeros(images, dtype=np.bool_)
        if not path.exists():
            return nothing
        try:
            content = read_verified_json(path)
            covered = _from_text(content.get("covered"), images)
        except UserError as error:  # to the same values
            log.warning("labels are written anew: %s", error)
            return nothing
        self.take(content)
        return covered


def _as_text(covered: Covered) -> str:
    return np.packbits(covered).tobytes().hex()


def _from_text(text: object, images: int) -> Covered:
    """The images that a text names.

    Raises:
        UserError: it is that of another set, or of a version that counted otherwise.
    """
    try:
        packed = np.frombuffer(bytes.fromhex(str(text)), dtype=np.uint8)
    except ValueError:
        packed = np.zeros(0, dtype=np.uint8)
    if len(packed) != -(-images // 8):
        raise UserError(f"what was counted is not of {images} images")
    return np.unpackbits(packed, count=images).astype(np.bool_)
