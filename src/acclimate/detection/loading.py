"""Deterministic loading of images with boxes: the n-th batch is a pure function of (seed, n), as in segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from acclimate.data.loading import AUGMENTATION, Failed, Steps, data_loader, item_generator, kept_epoch_order
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
    items = _BoxedItems(dataset, transform, seed, stream, boxes)
    loader = data_loader(
        items,
        workers=workers,
        batch_sampler=Steps(first_step, steps, batch_size, rank, world_size),
        collate_fn=_collated,
    )
    return _training_batches(loader)


@dataclass
class _BoxedItems(TorchDataset[Any]):
    dataset: BoxedDataset
    transform: BoxTransform
    seed: int
    stream: str
    boxes: bool

    def __getitem__(self, position: int) -> tuple[Tensor, Boxes | None, str] | Failed:
        epoch, offset = divmod(position, len(self.dataset))
        index = int(kept_epoch_order(len(self.dataset), self.seed, self.stream, epoch)[offset])
        try:
            image = self.dataset.image(index)
            boxes = self.dataset.boxes(index) if self.boxes else None
        except UserError as error:
            return Failed(str(error))
        generator = item_generator(self.seed, self.stream, AUGMENTATION, position)
        return (*self.transform(image, boxes, generator), self.dataset.names[index])


def _collated(
    items: list[tuple[Tensor, Boxes | None, str] | Failed],
) -> tuple[Tensor, list[Boxes | None], list[str]] | Failed:
    good: list[tuple[Tensor, Boxes | None, str]] = []
    for item in items:
        if isinstance(item, Failed):
            return item
        good.append(item)
    images, boxes, names = zip(*good, strict=True)
    return torch.stack(images), list(boxes), list(names)


def _training_batches(loader: Any) -> Iterator[DetectionBatch]:
    for loaded in loader:
        if isinstance(loaded, Failed):
            raise UserError(loaded.message)
        images, boxes, names = loaded
        yield DetectionBatch(images, None if boxes[0] is None else list(boxes), list(names))
