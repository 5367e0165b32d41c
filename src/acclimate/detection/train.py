"""What the verb ``train`` needs to know of a detector: its method, its batches and its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from acclimate.data.class_space import ClassSpace
from acclimate.detection.checkpoint import DetectorCard, load_detector, save_detector
from acclimate.detection.config import DetectorConfig
from acclimate.detection.loading import detection_batches
from acclimate.detection.methods import DETECTION_METHODS, DetectionMethod, DetectionSetting
from acclimate.detection.networks import build_detector
from acclimate.detection.sample import BoxedDataset, DetectionBatch
from acclimate.detection.settings import DetectionTraining
from acclimate.detection.transforms import BoxTransform
from acclimate.errors import UserError
from acclimate.io.validation import validated


@dataclass(frozen=True)
class DetectorTraining:
    """Everything a ``train`` stage of a detection recipe depends on, as :class:`SegmentationTraining` for networks."""

    method: str
    options: dict[str, Any]
    network: DetectorConfig
    training: DetectionTraining
    source: BoxedDataset
    target: BoxedDataset | None
    pseudo_labelled: bool
    class_space: ClassSpace
    seed: int
    start: Path | None
    input_size: tuple[int, int] | None
    recipe: str
    title: str
    scored_on: Any = None

    def build_method(self, cache: Path) -> DetectionMethod:
        """The method with its detector, initialised from the request's seed and start."""
        torch.manual_seed(self.seed)
        detector = build_detector(self.network, len(self.class_space))
        if self.start is not None:
            started, card = load_detector(self.start)
            if card.classes != self.class_space.classes or card.network.name != self.network.name:
                raise UserError(
                    f"{self.start} holds {card.network.name} for {', '.join(card.classes)}, not {self.network.name} "
                    f"for {', '.join(self.class_space.classes)}; start from a checkpoint of the same detector"
                )
            detector.load_state_dict(started.state_dict())
        kind = DETECTION_METHODS[self.method]
        options = validated(kind.Options, self.options, f"method {self.method}")
        return kind(detector, options=options, setting=DetectionSetting(optimizer=self.training.optimizer))

    def batches(
        self, first_step: int, *, cache: Path, fabric: Fabric
    ) -> tuple[Iterator[DetectionBatch], Iterator[DetectionBatch] | None]:
        """The batches of both domains from ``first_step`` on; of the target's boxes, pseudo-labels alone are read."""
        settings = self.training
        oracle = DETECTION_METHODS[self.method].trains_on == "target"

        def stream(
            dataset: BoxedDataset, name: str, transform: BoxTransform, size: int, boxes: bool
        ) -> Iterator[DetectionBatch]:
            if size % fabric.world_size:
                raise UserError(f"a batch of {size} cannot be split over {fabric.world_size} processes evenly")
            return detection_batches(
                dataset,
                transform=transform,
                batch_size=size // fabric.world_size,
                seed=self.seed,
                first_step=first_step,
                steps=settings.steps,
                workers=settings.workers,
                boxes=boxes,
                rank=fabric.global_rank,
                world_size=fabric.world_size,
                stream=name,
            )

        transform = settings.target_transform if oracle else settings.source_transform
        source = stream(self.source, "source", transform, settings.batch_size, True)
        if self.target is None:
            return source, None
        size = settings.target_batch_size or settings.batch_size
        return source, stream(self.target, "target", settings.target_transform, size, self.pseudo_labelled)

    def snapshots(self, method: DetectionMethod, folder: Path, *, device: str) -> None:
        """None: detectors have no scores without labels."""
        return

    def save(self, path: Path, network: Any) -> None:
        """Writes the trained detector with its card."""
        card = DetectorCard(
            network=self.network.without_weights(),
            class_space=self.class_space.name,
            classes=self.class_space.classes,
            colours=self.class_space.colours,
            input_size=self.input_size or self.training.target_transform.size,
            method=self.method,
            recipe=self.recipe,
            seed=self.seed,
            steps=self.training.steps,
        )
        save_detector(path, network, card=card)
