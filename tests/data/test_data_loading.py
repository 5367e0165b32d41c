from __future__ import annotations

from pathlib import Path

import formats
import numpy as np
import pytest
import torch

from acclimate.data.loading import batches, images_in_order
from acclimate.data.photometric import Photometric
from acclimate.data.registry import open_dataset
from acclimate.data.sample import Batch, Dataset
from acclimate.data.sampling import Shuffled
from acclimate.data.transforms import Transform
from acclimate.errors import UserError

AUGMENTED = Transform(size=(16, 10), scale=(0.8, 1.5), crop=(12, 8), flip=True, photometric=Photometric(brightness=0.3))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Seven labelled images."""
    return open_dataset(formats.write_gta5(tmp_path, images=7))


def same(first: list[Batch], second: list[Batch]) -> bool:
    """Whether two lists of batches agree to the last bit."""
    return len(first) == len(second) and all(
        a.names == b.names
        and torch.equal(a.images, b.images)
        and (a.labels is b.labels is None or torch.equal(a.labels, b.labels))  # type: ignore[arg-type]
        for a, b in zip(first, second, strict=True)
    )


def load(dataset: Dataset, **changes: object) -> list[Batch]:
    options = {"transform": AUGMENTED, "batch_size": 3, "seed": 1, "steps": 12, **changes}
    return list(batches(dataset, **options))  # type: ignore[arg-type]


def test_batches_do_not_depend_on_workers(dataset: Dataset) -> None:
    alone = load(dataset)
    assert same(alone, load(dataset, workers=1))
    assert same(alone, load(dataset, workers=2))


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_gives_the_tail(dataset: Dataset, workers: int) -> None:
    assert same(load(dataset)[5:], load(dataset, first_step=5, workers=workers))
    assert load(dataset, first_step=12) == []


def test_what_a_batch_holds(dataset: Dataset) -> None:
    (batch,) = load(dataset, steps=1, transform=Transform())
    assert batch.labels is not None
    assert batch.images.shape == (3, 3, formats.HEIGHT, formats.WIDTH)
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64
    for image, label, name in zip(batch.images, batch.labels, batch.names, strict=True):
        index = list(dataset.names).index(name)
        np.testing.assert_array_equal((image * 255).round().permute(1, 2, 0).numpy(), dataset.image(index))
        np.testing.assert_array_equal(label.numpy(), dataset.label(index))


def test_every_epoch_goes_through_everything_once_in_its_own_order(dataset: Dataset) -> None:
    names = [name for batch in load(dataset, steps=14) for name in batch.names]
    epochs = [names[begin : begin + 7] for begin in range(0, 42, 7)]
    assert all(sorted(epoch) == list(dataset.names) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    assert epochs[2] == [dataset.names[index] for index in Shuffled(7, seed=1).order(2)]


def test_seed_and_stream_change_order_and_augmentation(dataset: Dataset) -> None:
    alone = load(dataset)
    assert not same(alone, load(dataset, seed=2))
    assert not same(alone, load(dataset, stream="target"))
    orders = {tuple(Shuffled(50, seed, stream).order(0)) for seed in (0, 1) for stream in ("a", "b")}
    assert len(orders) == 4


def test_the_same_image_is_augmented_anew_each_epoch(dataset: Dataset) -> None:
    seen = [image for batch in load(dataset, steps=14) for image, name in zip(batch.images, batch.names, strict=True)
            if name == "00003"]  # fmt: skip
    assert len(seen) == 6
    assert len({image.numpy().tobytes() for image in seen}) == 6


def test_processes_share_each_step_without_overlap(dataset: Dataset) -> None:
    alone = load(dataset, batch_size=4, steps=6)
    first, second = (load(dataset, batch_size=2, steps=6, rank=rank, world_size=2) for rank in (0, 1))
    joined = [
        Batch(torch.cat([a.images, b.images]), torch.cat([a.labels, b.labels]), a.names + b.names)  # type: ignore[list-item]
        for a, b in zip(first, second, strict=True)
    ]
    assert same(alone, joined)


def test_without_labels_none_are_read(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_gta5(tmp_path, images=3))
    for path in (tmp_path / "labels").iterdir():
        path.unlink()
    (batch,) = load(dataset, steps=1, labels=False)
    assert batch.labels is None


def test_the_global_generator_is_left_alone(dataset: Dataset) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    load(dataset, steps=2)
    list(images_in_order(dataset))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_is_told_without_a_traceback(tmp_path: Path, workers: int) -> None:
    dataset = open_dataset(formats.write_gta5(tmp_path, images=1))
    (tmp_path / "images/00001.png").write_bytes(b"no picture")
    for run in (lambda: load(dataset, workers=workers), lambda: list(images_in_order(dataset, workers=workers))):
        with pytest.raises(UserError, match=r"00001\.png cannot be read") as caught:
            run()
        assert "Traceback" not in str(caught.value)


def test_images_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    spec = formats.write_gta5(tmp_path, images=2)
    formats.save_image(tmp_path / "images/00002.png", height=14, width=30)
    dataset = open_dataset(spec)
    with pytest.raises(UserError, match=r"differ in size: .* is (20x12|30x14) .*set size or crop"):
        load(dataset, batch_size=2, transform=Transform(flip=True))
    assert load(dataset, batch_size=2, steps=1)[0].images.shape == (2, 3, 8, 12)
    assert len(load(dataset, batch_size=1, transform=Transform(flip=True), steps=4)) == 4


def test_no_labels_to_train_on(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path, labels=False))
    with pytest.raises(UserError, match="has no labels to train on"):
        load(dataset)
    with pytest.raises(UserError, match="has no labels"):
        images_in_order(dataset, labels=True)


def test_in_order_everything_comes_once(dataset: Dataset) -> None:
    for workers in (0, 2):
        loaded = list(images_in_order(dataset, batch_size=3, labels=True, workers=workers))
        assert [len(batch.names) for batch in loaded] == [3, 3, 1]
        assert [name for batch in loaded for name in batch.names] == list(dataset.names)
        assert [index for batch in loaded for index in batch.indices] == list(range(7))
        for batch in loaded:
            assert batch.labels is not None
            for image, label, index in zip(batch.images, batch.labels, batch.indices, strict=True):
                np.testing.assert_array_equal((image * 255).round().permute(1, 2, 0).numpy(), dataset.image(index))
                np.testing.assert_array_equal(label, dataset.label(index))


def test_in_order_from_the_middle_and_resized(dataset: Dataset) -> None:
    loaded = list(images_in_order(dataset, size=(10, 6), batch_size=4, labels=True, start=5))
    assert [batch.names for batch in loaded] == [["00006", "00007"]]
    assert loaded[0].images.shape == (2, 3, 6, 10)
    assert loaded[0].sizes == [(formats.HEIGHT, formats.WIDTH)] * 2
    assert loaded[0].labels is not None
    assert loaded[0].labels[0].shape == (formats.HEIGHT, formats.WIDTH)
    trained, _ = Transform(size=(10, 6))(dataset.image(5), None, np.random.default_rng(0))
    assert torch.equal(loaded[0].images[0], trained)  # predicting sees what training saw


def test_in_order_only_equal_sizes_share_a_batch(tmp_path: Path) -> None:
    spec = formats.write_gta5(tmp_path, images=5)
    formats.save_image(tmp_path / "images/00003.png", height=14, width=30)
    loaded = list(images_in_order(open_dataset(spec), batch_size=4))
    assert [batch.indices for batch in loaded] == [[0, 1], [2], [3, 4]]
    assert [batch.images.shape[-1] for batch in loaded] == [20, 30, 20]
    assert all(batch.labels is None for batch in loaded)


@pytest.mark.parametrize("workers", [0, 1])
def test_colours_changed_later_are_the_same_draw(dataset: Dataset, workers: int) -> None:
    transform = AUGMENTED.model_copy(update={"photometric": Photometric.model_validate("strong")})
    at_once = load(dataset, transform=transform, steps=4, workers=workers)
    later = load(dataset, transform=transform, steps=4, workers=workers, colours_later=True)
    assert not any(batch.changes for batch in at_once)
    assert not same(at_once, later)
    assert same(at_once, [batch.to("cpu") for batch in later])
    moved = later[0].to("cpu", channels_last=True)
    assert moved.images.is_contiguous(memory_format=torch.channels_last)
    assert not moved.changes
    plain = load(dataset, transform=transform.model_copy(update={"photometric": None}), steps=1, colours_later=True)
    assert not plain[0].changes
