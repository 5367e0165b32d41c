"""A few labelled target images beside the source: which ones, in which batches, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from acclimate.data.registry import open_dataset
from acclimate.data.sample import Batch, Dataset
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError
from acclimate.models.config import NetworkConfig
from acclimate.stages.training import SegmentationTraining
from acclimate.training.labelled_target import LabelledTarget, joined
from acclimate.training.settings import TrainingSettings

SIZE = [64, 32]


class Unlabelled(Subset):
    """A set whose labels cannot be read."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset, range(len(dataset)))
        self.has_labels = False

    def label(self, index: int) -> Any:
        raise AssertionError("labels of the target must not be read")


@pytest.fixture(scope="module")
def target() -> Dataset:
    return open_dataset("scenes:camera,images=7,size=64x32")


def request(target: Dataset, method: str = "dacs", **training: Any) -> SegmentationTraining:
    source = open_dataset("scenes:render,images=4,size=64x32")
    settings = {"steps": 6, "batch_size": 2, "source_transform": {"size": SIZE}, "target_transform": {"size": SIZE}}
    return SegmentationTraining(
        method=method,
        options={},
        network=NetworkConfig.parse({"name": "small"}),
        training=TrainingSettings.model_validate(settings | training),
        source=source,
        target=Unlabelled(target),
        pseudo_labelled=False,
        class_space=source.class_space,
        seed=0,
        start=None,
        input_size=None,
        recipe="test",
        title="test",
        scored_on=(target, source),
    )


def source_batches(training: SegmentationTraining, folder: Path, first_step: int = 0) -> list[Batch]:
    fabric = Fabric(accelerator="cpu", devices=1)
    batches, _ = training.batches(first_step, cache=folder, fabric=fabric)
    return list(batches)


def test_the_labelled_images_are_evenly_spaced(target: Dataset) -> None:
    part = LabelledTarget(images=3).part(target)
    assert list(part.names) == [target.names[index] for index in (1, 3, 5)]


def test_they_join_every_batch_with_their_own_labels(target: Dataset, tmp_path: Path) -> None:
    plain = source_batches(request(target), tmp_path)
    batches = source_batches(request(target, labelled_target={"images": 2, "per_batch": 1}), tmp_path)
    few = {target.names[index]: index for index in (1, 5)}
    seen = set()
    for batch, without in zip(batches, plain, strict=True):
        assert batch.names[:2] == without.names
        assert torch.equal(batch.images[:2], without.images)
        (name,) = batch.names[2:]
        seen.add(name)
        assert batch.labels is not None
        assert torch.equal(batch.labels[2], torch.from_numpy(target.label(few[name])).long())
        assert torch.equal(batch.images[2], torch.from_numpy(target.image(few[name])).permute(2, 0, 1) / 255)
    assert seen == set(few)


def test_any_step_can_be_gone_on_from(target: Dataset, tmp_path: Path) -> None:
    training = request(target, labelled_target={"images": 3, "per_batch": 2})
    whole, rest = source_batches(training, tmp_path), source_batches(training, tmp_path, first_step=4)
    assert [batch.names for batch in whole[4:]] == [batch.names for batch in rest]


def test_their_colours_change_as_the_sources_do(target: Dataset, tmp_path: Path) -> None:
    transform = {"size": SIZE, "photometric": {"jitter": 0.5}}
    (batch, *_) = source_batches(request(target, labelled_target={"images": 1}, source_transform=transform), tmp_path)
    assert not torch.equal(batch.images[2], torch.from_numpy(target.image(3)).permute(2, 0, 1) / 255)


def test_what_cannot_be_is_told(target: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"asks for labels of scenes:camera.*which has none"):
        LabelledTarget(images=1).part(Unlabelled(target))
    with pytest.raises(UserError, match="images=9 is more than the 7 images"):
        LabelledTarget(images=9).part(target)
    with pytest.raises(UserError, match="which oracle does not train on"):
        source_batches(request(target, method="oracle", labelled_target={"images": 1}), tmp_path)
    small, large = (Batch(torch.zeros(1, 3, 2, side), torch.zeros(1, 2, side).long(), ["a"]) for side in (2, 3))
    with pytest.raises(UserError, match="the source's are 2x2 and the target's 3x2"):
        next(joined(iter([small]), iter([large])))
