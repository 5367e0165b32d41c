"""A few labelled images of the target beside the source: semi-supervised adaptation, as UniMatch V2 has it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt

from acclimate.data.sample import Batch, Dataset, evenly_spaced
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError


class LabelledTarget(BaseModel):
    """Labelled images of the target that join the source's in every batch, with any method.

    Attributes:
        images: how many of the target's training images are labelled, evenly spaced; the labels of others are not read.
        per_batch: how many of them are in a step, over all processes, besides the source's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: PositiveInt
    per_batch: PositiveInt = 1

    def part(self, target: Dataset) -> Dataset:
        """The labelled images.

        Raises:
            UserError: the target has no labels, or fewer images.
        """
        if not target.has_labels:
            raise UserError(
                f"training.labelled_target asks for labels of {target.spec} ({target.split}), which has none"
            )
        if self.images > len(target):
            raise UserError(
                f"training.labelled_target.images={self.images} is more than the {len(target)} images of {target.spec} "
                f"({target.split})"
            )
        return Subset(target, evenly_spaced(self.images, len(target)))


def joined(source: Iterator[Batch], few: Iterator[Batch]) -> Iterator[Batch]:
    """Batches of the source with those of the few labelled target images behind them.

    Raises:
        UserError: their images differ in size.
    """
    for first, second in zip(source, few, strict=True):
        ours, theirs = tuple(first.images.shape[-2:]), tuple(second.images.shape[-2:])
        if ours != theirs:
            raise UserError(
                f"labelled target images join the source's batches, but the source's are {ours[1]}x{ours[0]} and the "
                f"target's {theirs[1]}x{theirs[0]}; set training.source_transform and training.target_transform to the "
                "same size or the same crop"
            )
        assert first.labels is not None
        assert second.labels is not None
        yield Batch(
            torch.cat([first.images, second.images]),
            torch.cat([first.labels, second.labels]),
            [*first.names, *second.names],
            [*first.changes, *second.changes],
        )
