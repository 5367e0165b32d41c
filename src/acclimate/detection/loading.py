"""Deterministic loading of images with boxes: the same stream as in segmentation, with boxes in place of label maps."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.data.loading import Steps, TrainingItems, training_stream
from acclimate.data.sample import Image
from acclimate.data.sampling import Shuffled
from acclimate.detection.sample import BoxedDataset, Boxes, DetectionBatch
from acclimate.detection.transforms import BoxTransform
from acclimate.errors import UserError


def detection_batches(
    dataset: BoxedDataset,
    *,
    transform: BoxTransform,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    steps: int,
    workers: int = 0,
    boxes: bool = True,
    rank: int = 0,
    world_size: int = 1,
    stream: str = "source",
) -> Iterator[DetectionBatch]:
    """The batches of the steps ``first_step`` to ``steps - 1``, like :func:`acclimate.data.loading.batches`.

    Args:
        boxes: whether boxes are read; otherwise annotation files are never opened.

    Raises:
        UserError: a file is at fault, or boxes are wanted and there are none.
    """
    if boxes and not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no boxes to train on")
    items = BoxedItems(dataset, transform, seed, stream, boxes, Shuffled(len(dataset), seed, stream))
    stretch = Steps(first_step, steps, batch_size, rank, world_size)
    return (
        DetectionBatch(images, objects if boxes else None, names)
        for images, objects, names, _ in training_stream(items, stretch, workers=workers)
    )


class BoxedItems(TrainingItems):
    """Images with boxes."""

    def annotation(self, index: int, image: Image) -> Boxes:
        """The objects, in pixels of the image."""
        found: Boxes = self.dataset.boxes(index)
        return found
