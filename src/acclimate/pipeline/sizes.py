"""Whether pictures are large enough for every method of a recipe, found before the first stage trains."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.data.cache import in_parallel
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.files import image_size
from acclimate.data.sample import Dataset
from acclimate.data.transforms import Transform
from acclimate.errors import UserError
from acclimate.recipe.load import Recipe, TrainStage
from acclimate.tasks import task_named


def check_input_sizes(recipe: Recipe, source: Dataset, target: Dataset, *, tolerant: bool) -> None:
    """Refuses a recipe with a method that cannot take pictures as small as the data or a transform makes them.

    Args:
        recipe: of segmentation.
        source: as opened.
        target: as opened.
        tolerant: whether pictures that cannot be read are passed over.

    Raises:
        UserError: a picture is too small; names stage, picture, size and the smallest that the method takes.
    """
    smallest: dict[str, tuple[int, int, str]] = {}
    for name, stage in recipe.stages.items():
        if not isinstance(stage, TrainStage):
            continue
        least = task_named(recipe.task).method(stage.train).smallest_input
        training = recipe.training_settings(stage)
        for what, dataset, transform in (
            ("source", source, training.source_transform),
            ("target", target, training.target_transform),
        ):
            if least <= 1:
                continue
            if transform.crop is None and transform.size is None and what not in smallest:
                smallest[what] = min(
                    _sizes(dataset, tolerant=tolerant), default=(least, least, ""), key=lambda s: min(s[:2])
                )
            height, width, picture = _entering(transform, smallest.get(what))
            if min(height, width) < least:
                which = f"{picture} of {dataset.spec}" if picture else f"{what}_transform"
                raise UserError(
                    f"recipe {recipe.name}: stages.{name}: {stage.train} takes pictures of at least {least}x{least} "
                    f"pixels, but {which} gives {width}x{height}: set training.{what}_transform.size (or crop) to "
                    "something larger, or leave the small pictures out"
                )


def _entering(transform: Transform, native: tuple[int, int, str] | None) -> tuple[int, int, str]:
    """Height and width of the smallest picture that leaves a transform, and the picture that is to blame, if any."""
    if transform.crop is not None:
        return transform.crop[1], transform.crop[0], ""
    factor = min(1.0, transform.scale[0]) if transform.scale is not None else 1.0
    if transform.size is not None:
        return round(transform.size[1] * factor), round(transform.size[0] * factor), ""
    assert native is not None
    return round(native[0] * factor), round(native[1] * factor), native[2]


def _sizes(dataset: Dataset, *, tolerant: bool) -> Iterator[tuple[int, int, str]]:
    """Height, width and name of every picture, by headers alone; built-in scenes share one size."""
    if not isinstance(dataset, FileDataset):
        height, width, _ = dataset.image(0).shape
        yield height, width, dataset.names[0]
        return

    def size(index: int) -> tuple[int, int] | None:
        try:
            return image_size(dataset.listing.items[index].image)
        except UserError:
            if not tolerant:
                raise
            return None

    for index, found in enumerate(in_parallel(size, len(dataset))):
        if found is not None:
            yield *found, dataset.names[index]
