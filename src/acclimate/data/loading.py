"""Deterministic loading: the n-th batch is a pure function of (seed, n), for any number of workers and processes.

No state is carried from batch to batch: the position of an item in the endless sequence of training items decides which
image it is (through the permutation of its epoch) and how it is augmented. Going on at step k is therefore free, and
exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from acclimate.data.photometric import Drawn
from acclimate.data.sample import Batch, Dataset, Image, Label
from acclimate.data.sampling import Sampler, Shuffled, item_generator
from acclimate.data.transforms import Resample, Transform, resized, to_tensor
from acclimate.errors import UserError

_AUGMENTATION = 1
_PREFETCH = 4

Item = tuple[Tensor, Any, str, Drawn | None]
"""An image, its annotation or None, its name, and what is still to be done to its colours."""
Loaded = tuple[Tensor, Any, list[str], list[Drawn]]
"""The images of a batch, their annotations (together where they are tensors, else a list), names, changes to come."""


@dataclass
class EvaluationBatch:
    """Images to predict on, with labels as they are.

    Attributes:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        labels: one (h, w) array of train ids per image at its native size, void 255; or None.
        names: one per image.
        sizes: the native (height, width) of each image.
        indices: the position of each image in the dataset.
    """

    images: Tensor
    labels: list[Label] | None
    names: list[str]
    sizes: list[tuple[int, int]]
    indices: list[int]


def batches(
    dataset: Dataset,
    *,
    transform: Transform,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    steps: int,
    workers: int = 0,
    labels: bool = True,
    rank: int = 0,
    world_size: int = 1,
    stream: str = "source",
    sampler: Sampler | None = None,
    colours_later: bool = False,
) -> Iterator[Batch]:
    """The batches of the steps ``first_step`` to ``steps - 1`` of a training run.

    Item k of the batch of step n on process r is number ``(n * world_size + r) * batch_size + k`` of an endless
    sequence that goes through the dataset epoch after epoch, each in its own random order.

    Args:
        dataset: where the images come from.
        transform: what happens to each of them.
        batch_size: images per batch and process.
        seed: of orders and augmentations; not negative.
        first_step: where to go on.
        steps: where to end: the total, not the number still to come.
        workers: loader processes; 0: load here, between the steps.
        labels: whether to read labels; otherwise ``Batch.labels`` is None and label files are never opened.
        rank, world_size: this training process and how many there are.
        stream: name of the sequence: source and target get different orders from one seed.
        sampler: which image stands at each position of the sequence, and what its crop should hold; None:
            :class:`Shuffled`, each once per epoch.
        colours_later: leave the colours for ``Batch.to`` to change: a GPU does it in no time, where a processor needs
            half of a small network's step for it.

    Raises:
        UserError: a file is at fault, labels are wanted and there are none, or images in a batch differ in size.
    """
    if labels and not dataset.has_labels:
        raise UserError(
            f"{dataset.spec} ({dataset.split}) has no labels to train on; `acclimate check` says what is there"
        )
    sampler = sampler or Shuffled(len(dataset), seed, stream)
    items = LabelledItems(dataset, transform, seed, stream, labels, sampler, colours_later)
    stretch = Steps(first_step, steps, batch_size, rank, world_size)
    return (
        Batch(images, maps if labels else None, names, changes)
        for images, maps, names, changes in training_stream(items, stretch, workers=workers)
    )


def images_in_order(
    dataset: Dataset,
    *,
    size: tuple[int, int] | None = None,
    batch_size: int = 1,
    workers: int = 0,
    labels: bool = False,
    start: int = 0,
    resample: Resample = "bicubic",
) -> Iterator[EvaluationBatch]:
    """Every image once, in the dataset's order, for evaluation and labelling.

    Args:
        dataset: where the images come from.
        size: (width, height) that images are resized to; None: native size. Labels always keep their own size.
        batch_size: at most so many consecutive images of one size form a batch.
        workers: loader processes.
        labels: whether to read labels.
        start: index of the first image, to go on where an interrupted run stopped.
        resample: how images are resized; the default is that of :class:`Transform`.

    Raises:
        UserError: a file is at fault, or labels are wanted and there are none.
    """
    if labels and not dataset.has_labels:
        raise UserError(f"{dataset.spec} ({dataset.split}) has no labels; `acclimate check` says what is there")
    items = _OrderedItems(dataset, size, resample, labels)
    loader = _data_loader(
        items, workers=workers, sampler=range(start, len(dataset)), batch_size=None, collate_fn=_unchanged
    )
    return _grouped(loader, batch_size, labels)


@dataclass
class Failed:
    """A user's error on its way out of a loader process, which would otherwise arrive wrapped in a traceback."""

    message: str


@dataclass
class TrainingItems(TorchDataset[Any]):
    """The endless sequence of a domain's training items: a subclass says what is read beside the image.

    Attributes:
        dataset: where images and annotations come from.
        transform: (image, annotation, generator) -> the two as tensors; where the sampler asks for a class, also what
            to keep of it.
        seed, stream: of the augmentations.
        annotated: whether annotations are read.
        sampler: which image stands where.
        colours_later: whether colours are left for the device to change.
    """

    dataset: Any
    transform: Callable[..., tuple[Tensor, Any]]
    seed: int
    stream: str
    annotated: bool
    sampler: Sampler
    colours_later: bool = False

    def annotation(self, index: int, image: Image) -> Any:
        """What belongs to an image, as it is in the set."""
        raise NotImplementedError

    def __getitem__(self, position: int) -> Item | Failed:
        draw = self.sampler.draw(position)
        index, keep = draw.index, draw.keep
        transform = self.transform
        try:
            image: Image
            if isinstance(transform, Transform):
                image = transform.picture(self.dataset, index)
            else:
                image = self.dataset.image(index)
            annotation = self.annotation(index, image) if self.annotated else None
        except UserError as error:
            return Failed(str(error))
        generator = item_generator(self.seed, self.stream, _AUGMENTATION, position)
        wish = () if keep is None else (keep,)
        name = self.dataset.names[index]
        if self.colours_later and isinstance(transform, Transform) and transform.photometric is not None:
            arranged = transform.arranged(image, annotation, generator, *wish)
            return (*arranged, name, transform.photometric.draw(generator))
        return (*transform(image, annotation, generator, *wish), name, None)


class LabelledItems(TrainingItems):
    """Images with label maps."""

    def annotation(self, index: int, image: Image) -> Label:
        """The label map; of the image's size where the transform does not change both."""
        label: Label = self.dataset.label(index)
        resizes = isinstance(self.transform, Transform) and self.transform.size is not None
        if not resizes and label.shape != image.shape[:2]:
            raise UserError(
                f"{self.dataset.spec}: the label of {self.dataset.names[index]} is {label.shape[1]}x"
                f"{label.shape[0]} and its image {image.shape[1]}x{image.shape[0]}; set size in the transform to "
                "resize both"
            )
        return label


def training_stream(items: TrainingItems, steps: Steps, *, workers: int) -> Iterator[Loaded]:
    """Images, annotations, names and changes to come of each step's batch; images of one batch have one size.

    Raises:
        UserError: a file is at fault, or images in a batch differ in size.
    """
    loader = _data_loader(items, workers=workers, batch_sampler=steps, collate_fn=_collated)
    yield from _good(loader)


@dataclass
class _OrderedItems(TorchDataset[Any]):
    dataset: Dataset
    size: tuple[int, int] | None
    resample: Resample
    labels: bool

    def __getitem__(self, index: int) -> EvaluationBatch | Failed:
        try:
            image = self.dataset.image(index)
            label = self.dataset.label(index) if self.labels else None
        except UserError as error:
            return Failed(str(error))
        height, width = image.shape[:2]
        tensor = to_tensor(image if self.size is None else resized(image, self.size, self.resample))
        name = self.dataset.names[index]
        return EvaluationBatch(tensor[None], None if label is None else [label], [name], [(height, width)], [index])


@dataclass(frozen=True)
class Steps:
    """The positions of the items of each step's batch."""

    first_step: int
    steps: int
    batch_size: int
    rank: int
    world_size: int

    def __iter__(self) -> Iterator[range]:
        for step in range(self.first_step, self.steps):
            begin = (step * self.world_size + self.rank) * self.batch_size
            yield range(begin, begin + self.batch_size)

    def __len__(self) -> int:
        return max(0, self.steps - self.first_step)


def _collated(items: list[Item | Failed]) -> Loaded | Failed:
    """A batch, put together where it is loaded: in a worker process it goes into shared memory without another copy."""
    good: list[Item] = []
    for item in items:
        if isinstance(item, Failed):
            return item
        good.append(item)
    images, annotations, names, changes = (list(parts) for parts in zip(*good, strict=True))
    sizes = {tuple(image.shape[1:]): name for image, name in zip(images, names, strict=True)}
    if len(sizes) > 1:
        (first, first_name), (second, second_name) = list(sizes.items())[:2]
        return Failed(
            f"images of one batch differ in size: {first_name} is {first[1]}x{first[0]} and {second_name} is "
            f"{second[1]}x{second[0]}; set size or crop in the transform (for instance "
            "training.target_transform.size=[640,320]), or a batch size of 1"
        )
    together = isinstance(annotations[0], Tensor)
    left = [change for change in changes if change is not None]
    return default_collate(images), default_collate(annotations) if together else annotations, names, left


def _unchanged(item: Any) -> Any:
    return item


def _data_loader(items: TorchDataset[Any], *, workers: int, collate_fn: Callable[[Any], Any], **options: Any) -> Any:
    if workers > 0:
        options["prefetch_factor"] = _PREFETCH
    return DataLoader(
        items,
        num_workers=workers,
        collate_fn=collate_fn,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # of its own: loading must not disturb the global one
        **options,
    )


def _good(loader: Any) -> Iterator[Any]:
    """What a loader gives, up to the first failure."""
    for loaded in loader:
        if isinstance(loaded, Failed):
            raise UserError(loaded.message)
        yield loaded


def _grouped(loader: Any, batch_size: int, labels: bool) -> Iterator[EvaluationBatch]:
    waiting: list[EvaluationBatch] = []

    def joined() -> EvaluationBatch:
        return EvaluationBatch(
            images=torch.cat([item.images for item in waiting]),
            labels=[item.labels[0] for item in waiting if item.labels] if labels else None,
            names=[item.names[0] for item in waiting],
            sizes=[item.sizes[0] for item in waiting],
            indices=[item.indices[0] for item in waiting],
        )

    for loaded in _good(loader):
        if waiting and loaded.images.shape != waiting[0].images.shape:
            yield joined()
            waiting.clear()
        waiting.append(loaded)
        if len(waiting) == batch_size:
            yield joined()
            waiting.clear()
    if waiting:
        yield joined()
