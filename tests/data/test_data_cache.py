from __future__ import annotations

import pickle
from pathlib import Path

import formats
import numpy as np
import pytest
import torch

from acclimate.data.cache import cached
from acclimate.data.loading import batches
from acclimate.data.registry import open_dataset
from acclimate.data.transforms import Transform
from acclimate.errors import UserError

SIZE = (10, 6)


def test_the_copy_gives_the_same_batches_as_the_files(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_cityscapes(tmp_path / "data"))
    copy = cached(dataset, size=SIZE, folder=tmp_path / "cache")
    transform = Transform(size=SIZE, scale=(0.8, 1.2), crop=(8, 5), flip=True)
    for workers in (0, 2):
        options = {"transform": transform, "batch_size": 2, "seed": 0, "steps": 5, "workers": workers}
        for plain, quick in zip(batches(dataset, **options), batches(copy, **options), strict=True):  # type: ignore[arg-type]
            assert plain.names == quick.names
            assert torch.equal(plain.images, quick.images)
            assert torch.equal(plain.labels, quick.labels)  # type: ignore[arg-type]


def test_it_is_built_once_with_progress_and_outside_the_data(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_gta5(tmp_path / "data", images=4))
    before = sorted((tmp_path / "data").rglob("*"))
    told: list[tuple[int, int]] = []
    cached(dataset, size=SIZE, folder=tmp_path / "cache", progress=lambda *state: told.append(state))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2  # images, labels
    assert sorted((tmp_path / "data").rglob("*")) == before
    told.clear()
    cached(dataset, size=SIZE, folder=tmp_path / "cache", progress=lambda *state: told.append(state))
    assert told == []


def test_other_files_classes_or_sizes_make_another_copy(tmp_path: Path) -> None:
    spec = formats.write_gta5(tmp_path / "data", images=2)
    first = cached(open_dataset(spec), size=SIZE, folder=tmp_path)
    others = [
        cached(open_dataset(spec, class_space="cityscapes-16"), size=SIZE, folder=tmp_path),
        cached(open_dataset(spec), size=(8, 6), folder=tmp_path),
        cached(open_dataset(spec), size=SIZE, folder=tmp_path, resample="bilinear"),
    ]
    formats.save_image(tmp_path / "data/images/00001.png", number=77)
    others.append(cached(open_dataset(spec), size=SIZE, folder=tmp_path))
    assert len({first.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    assert not np.array_equal(first.image(0), others[-1].image(0))
    assert first.label(0).max() != 15 or not np.array_equal(first.label(0), others[0].label(0))


def test_a_failed_build_leaves_nothing_to_be_taken_for_a_copy(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_gta5(tmp_path / "data", images=3))
    good = (tmp_path / "data/images/00003.png").read_bytes()
    (tmp_path / "data/images/00003.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"00003\.png cannot be read"):
        cached(dataset, size=SIZE, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "data/images/00003.png").write_bytes(good)
    assert cached(dataset, size=SIZE, folder=tmp_path / "cache").image(2).shape == (6, 10, 3)


def test_without_labels_label_files_are_not_opened(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_gta5(tmp_path / "data", images=2))
    for path in (tmp_path / "data/labels").iterdir():
        path.write_bytes(b"broken")
    copy = cached(dataset, size=SIZE, folder=tmp_path / "cache", labels=False)
    assert not copy.has_labels
    with pytest.raises(UserError, match="made without labels"):
        copy.label(0)
    unlabelled = open_dataset(formats.write_camvid(tmp_path / "target", labels=False))
    with pytest.raises(UserError, match="has no labels"):
        cached(unlabelled, size=SIZE, folder=tmp_path / "cache")


def test_it_travels_light(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_gta5(tmp_path / "data", images=2))
    copy = cached(dataset, size=(800, 600), folder=tmp_path / "cache")
    expected = copy.image(1).copy()
    parcel = pickle.dumps(copy)
    assert len(parcel) < 200_000  # not the 1.4 MB of an image
    np.testing.assert_array_equal(pickle.loads(parcel).image(1), expected)  # noqa: S301 - our own object
