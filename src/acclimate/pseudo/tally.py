"""What is counted while pseudo-labels are written: how many, how good, and what the two confidences differ in."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acclimate.errors import UserError
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.labels import VOID
from acclimate.pseudo.confidence import CONFIDENCES, Confidence, ScoreMaps
from acclimate.pseudo.quality import SelectionChange, SelectionQuality, quality_table

log = logging.getLogger(__name__)


class Tally:
    """What labelling counts in its second pass over the images.

    Args:
        classes: names in train-id order.

    Attributes:
        invalid: pixels for which the network gave NaN or infinite values.
        selected: (256,) int64 pixels that the maximum probability selects, by class; void at 255.
        change: what differs between the two confidences' selections.
        quality: of each confidence's selection; counts nothing without true labels.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.invalid = 0
        self.selected: NDArray[np.int64] = np.zeros(256, dtype=np.int64)
        self.change = SelectionChange()
        self.quality = {name: SelectionQuality(classes) for name in CONFIDENCES}

    def add(self, maps: ScoreMaps, picked: Mapping[Confidence, Tensor], labels: Tensor | None) -> None:
        """Counts the pixels of one or several images.

        Args:
            maps: predictions and uncertainties, (B, H, W).
            picked: each confidence's pseudo-labels, (B, H, W) uint8, void where not selected.
            labels: (B, H, W) uint8 true train ids, void 255; None where unknown.
        """
        self.invalid += int((maps.prediction == VOID).sum())
        self.selected += np.bincount(picked["softmax"].cpu().numpy().ravel(), minlength=256)
        self.change.add(maps.prediction, picked["softmax"], picked["entropy"], labels)
        if labels is not None:
            for name, part in self.quality.items():
                part.add(labels.cpu().numpy(), picked[name].cpu().numpy())

    def measured(self) -> dict[str, Any]:
        """For labelled sets, as JSON: ``change`` and ``table``, see :mod:`acclimate.pseudo.quality`."""
        table = quality_table(self.quality["softmax"], self.quality["entropy"])
        return {"change": self.change.summary(), "table": table}

    def save(self, path: Path, *, images: int) -> None:
        """Writes the counts of the first ``images`` images, atomically."""
        content = {
            "images": images,
            "invalid": self.invalid,
            "selected": self.selected.tolist(),
            "change": self.change.counts.tolist(),
            "quality": {name: part.counts.tolist() for name, part in self.quality.items()},
        }
        write_verified_json(path, content)

    def restore(self, path: Path) -> int:
        """Takes up what :meth:`save` wrote; returns how many images it covers, 0 where there is nothing to take up."""
        if not path.exists():
            return 0
        try:
            content = read_verified_json(path)
        except UserError as error:  # labels are written anew, and to the same values
            log.warning("labelling begins its second pass anew: %s", error)
            return 0
        self.invalid = int(content["invalid"])
        self.selected += np.array(content["selected"], dtype=np.int64)
        self.change.counts += np.array(content["change"], dtype=np.int64)
        for name, part in self.quality.items():
            part.counts += np.array(content["quality"][name], dtype=np.int64)
        return int(content["images"])
