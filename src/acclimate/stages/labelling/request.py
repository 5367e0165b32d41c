"""What a ``label`` stage is asked for, and its images with what the network says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.data.class_space import ClassSpace
from acclimate.data.loading import EvaluationBatch, images_in_order
from acclimate.data.sample import Dataset
from acclimate.io.files import hash_of, hash_of_file
from acclimate.labels import resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.pseudo.asking import asked
from acclimate.pseudo.confidence import ScoreMaps
from acclimate.pseudo.sisc import LabelInference
from acclimate.pseudo.thresholds import Selection

ScoredImages: TypeAlias = Callable[[int], Iterator[tuple[EvaluationBatch, ScoreMaps]]]
"""From the position of the first image wanted to batches and their score maps, in the set's order."""


@dataclass(frozen=True)
class LabelRequest:
    """Everything a ``label`` stage depends on.

    Attributes:
        checkpoint: the network.
        data: the images; their labels, if any, only measure the result.
        class_space: the network's classes.
        selection: which pixels become pseudo-labels.
        input_size: (width, height) images are resized to; None: native size.
        inference: how the network is asked: once, mirrored, or in SISC's patches.
        prior: spatial prior (C, h, w) in [0, 1] that multiplies the probabilities; None: none.
        native: write labels at the images' native size, instead of the size the network sees.
        batch_size: images at a time; memory grows with it.
        title: for the progress bar.
    """

    checkpoint: Path
    data: Dataset
    class_space: ClassSpace
    selection: Selection
    input_size: tuple[int, int] | None
    batch_size: int = 1
    inference: LabelInference = field(default_factory=LabelInference)
    prior: NDArray[np.float32] | None = None
    native: bool = False
    title: str = "label"

    def identity(self) -> str:
        """A hash of everything the labels depend on."""
        further: dict[str, Any] = {}
        if not self.inference.plain:
            further["inference"] = self.inference.identity()
        if self.prior is not None:
            further["prior"] = hashlib.sha256(self.prior.tobytes()).hexdigest()
        return hash_of(
            {
                "checkpoint": hash_of_file(self.checkpoint),
                "data": self.data.fingerprint(),
                "selection": self.selection.identity(),
                **further,
                "input_size": self.input_size,
                "native": self.native,
            }
        )


def scored(
    request: LabelRequest, network: SegmentationNetwork, first: int, *, device: str
) -> Iterator[tuple[EvaluationBatch, ScoreMaps]]:
    """Batches from image ``first`` on, with predictions and uncertainties at the size labels are written in."""
    prior = None if request.prior is None else torch.from_numpy(request.prior).to(device)
    for batch in images_in_order(
        request.data,
        size=request.input_size,
        batch_size=1 if request.native else request.batch_size,
        labels=request.data.has_labels,
        start=first,
    ):
        maps = asked(
            network,
            batch.images.to(device),
            names=batch.names,
            size=batch.sizes[0] if request.native else (batch.images.shape[2], batch.images.shape[3]),
            selection=request.selection,
            inference=request.inference,
            prior=prior,
        )
        yield batch, maps


def true_labels(batch: EvaluationBatch, maps: ScoreMaps) -> torch.Tensor | None:
    """The batch's own labels at the size of its maps, (B, H, W) uint8 train ids, void 255; None where it has none."""
    if batch.labels is None:
        return None
    size = (maps.prediction.shape[2], maps.prediction.shape[1])
    return torch.from_numpy(np.stack([resized_label(item, size) for item in batch.labels])).to(maps.prediction.device)
