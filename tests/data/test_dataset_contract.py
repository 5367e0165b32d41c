"""What every kind of dataset must honour; a new kind is tested by being registered and having a writer in formats."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import formats
import numpy as np
import pytest
from formats import image_files, label_files

from acclimate.data.registry import DATASETS, dataset_kinds, default_class_space, open_dataset, parse_spec
from acclimate.data.sample import Dataset
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError
from acclimate.labels import VOID

FILE_KINDS = sorted(name for name, kind in DATASETS.items() if kind.reader is not None)


@pytest.fixture(params=sorted(DATASETS))
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A spec of each registered kind."""
    if request.param == "scenes":
        return "scenes:render"
    return formats.WRITERS[request.param](tmp_path / "set")


def test_the_interface(spec: str) -> None:
    dataset = open_dataset(spec)
    assert isinstance(dataset, Dataset)
    assert (dataset.spec, dataset.split) == (spec, "train")
    assert dataset.class_space.classes == default_class_space(spec).classes
    assert len(dataset) == len(dataset.names) == len(set(dataset.names)) > 0
    assert list(dataset.names) == sorted(dataset.names)
    assert dataset.has_labels
    for index in (0, len(dataset) - 1):
        image, label = dataset.image(index), dataset.label(index)
        assert image.dtype == label.dtype == np.uint8
        assert image.shape == (*label.shape, 3)
        assert set(np.unique(label)) <= {*range(len(dataset.class_space)), VOID}
        np.testing.assert_array_equal(dataset.image(index), image)
    assert not np.array_equal(dataset.image(0), dataset.image(1))


def test_it_can_travel_to_another_process(spec: str) -> None:
    dataset = open_dataset(spec)
    dataset.label(0)
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own object, as a loader process gets it
    np.testing.assert_array_equal(again.image(1), dataset.image(1))
    np.testing.assert_array_equal(again.label(1), dataset.label(1))
    assert again.fingerprint() == dataset.fingerprint()


def test_the_fingerprint_follows_split_and_choice(spec: str) -> None:
    dataset = open_dataset(spec)
    assert dataset.fingerprint() == open_dataset(spec).fingerprint()
    assert Subset(dataset, [0]).fingerprint() not in (dataset.fingerprint(), Subset(dataset, [1]).fingerprint())


def test_every_kind_is_described() -> None:
    assert list(dataset_kinds()) == list(DATASETS)
    assert all(dataset_kinds().values())


# --- bad input, the same for every kind of files --------------------------------------------------------------------


@pytest.fixture(params=FILE_KINDS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A spec and the folder behind it."""
    return formats.WRITERS[request.param](tmp_path / "set"), tmp_path / "set"


def test_a_missing_folder(written: tuple[str, Path]) -> None:
    kind = written[0].partition(":")[0]
    with pytest.raises(UserError, match=r"there is no .*nowhere; expected") as caught:
        open_dataset(f"{kind}:{written[1] / 'nowhere'}")
    assert "nowhere" in str(caught.value)


def test_a_split_that_is_not_there(written: tuple[str, Path]) -> None:
    with pytest.raises(UserError, match=r"unknown split of .* 'trian'; did you mean 'train'"):
        open_dataset(written[0], split="trian")


def test_an_image_without_its_label(written: tuple[str, Path]) -> None:
    spec, folder = written
    label = label_files(folder)[0]
    label.unlink()
    with pytest.raises(UserError, match="has no label") as caught:
        open_dataset(spec)
    assert label.stem in str(caught.value)


def test_a_label_of_another_size(written: tuple[str, Path]) -> None:
    spec, folder = written
    image = image_files(folder)[0]
    formats.save_image(image, height=formats.HEIGHT + 2, width=formats.WIDTH)
    dataset = open_dataset(spec)
    if DATASETS[spec.partition(":")[0]].reader.resizes_labels:  # type: ignore[union-attr]
        assert dataset.label(0).shape == dataset.image(0).shape[:2]
        return
    with pytest.raises(UserError, match=r"is 20x12 but its image .* is 20x14; a label must have") as caught:
        dataset.label(0)
    assert image.name in str(caught.value)
    assert label_files(folder)[0].name in str(caught.value)


def test_an_id_that_the_format_does_not_know(written: tuple[str, Path]) -> None:
    spec, folder = written
    ids = np.full((formats.HEIGHT, formats.WIDTH), 200)
    ids[0, :3] = 140
    kind, path = spec.partition(":")[0], label_files(folder)[0]
    if kind == "synthia":
        path.write_bytes(formats.png16(np.stack([ids, ids, ids], axis=-1)))
    else:
        formats.save(path, formats.red(ids) if kind == "carla" else formats.grey(ids))
    with pytest.raises(UserError, match=r"holds the class ids 140, 200, which this data set does not define") as caught:
        open_dataset(spec).label(0)
    assert str(path) in str(caught.value)
    assert f"acclimate check {spec}" in str(caught.value)


def test_a_truncated_image(written: tuple[str, Path]) -> None:
    spec, folder = written
    path = image_files(folder)[0]
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(UserError, match="cannot be read as an image") as caught:
        open_dataset(spec).image(0)
    assert str(path) in str(caught.value)


def test_an_image_that_went_away(written: tuple[str, Path]) -> None:
    dataset = open_dataset(written[0])
    image_files(written[1])[0].unlink()
    with pytest.raises(UserError, match="is gone"):
        dataset.image(0)


def test_two_files_of_one_name(written: tuple[str, Path]) -> None:
    spec, folder = written
    path = image_files(folder)[0]
    other = path.with_suffix(".jpeg")
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="differ only in suffix") as caught:
        open_dataset(spec)
    assert path.name in str(caught.value)
    assert other.name in str(caught.value)


def test_hidden_files_are_not_images(written: tuple[str, Path]) -> None:
    spec, folder = written
    before = list(open_dataset(spec).names)
    path = image_files(folder)[0]
    path.with_name(f"._{path.name}").write_bytes(b"left by another system")
    assert open_dataset(spec).names == before


def test_the_fingerprint_follows_files_split_and_class_space(written: tuple[str, Path]) -> None:
    spec, folder = written
    before = open_dataset(spec).fingerprint()
    others = {
        "carla": ("val", None),
        "camvid": ("val", "carla-camvid-10"),
        "cityscapes": ("val", "cityscapes-16"),
        "folder": ("val", None),
        "idd-lite": ("val", None),
        "acdc": ("val-night", "cityscapes-16"),
        "dark-zurich": ("val", "cityscapes-13"),
        "gta5": (None, "cityscapes-7"),
        "mapillary": ("val", "cityscapes-19"),
        "mapillary-2": ("val", "cityscapes-19"),
        "synthia": (None, "cityscapes-19"),
    }
    split, space = others[spec.partition(":")[0]]
    if split is not None:
        assert open_dataset(spec, split=split).fingerprint() != before
    if space is not None:
        assert open_dataset(spec, class_space=space).fingerprint() != before
    path = label_files(folder)[0]
    os.utime(path, ns=(0, 0))
    assert open_dataset(spec).fingerprint() == before
    path.write_bytes(path.read_bytes() + b"\0")
    assert open_dataset(spec).fingerprint() != before


def test_without_labels_it_is_a_target(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path, labels=False))
    assert not dataset.has_labels
    with pytest.raises(UserError, match="has no label"):
        dataset.label(0)
    assert dataset.fingerprint()


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not laid out as camvid data; expected train"):
        open_dataset(f"camvid:{tmp_path}")
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        open_dataset(f"camvid:{tmp_path}")


def test_a_class_space_without_a_mapping(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path), class_space="cityscapes-19")
    with pytest.raises(UserError, match=r"no mapping of camvid labels into .* cityscapes-19 .*camvid-11"):
        dataset.label(0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gta:/data", "unknown kind of data 'gta'; did you mean 'gta5'"),
        ("/data/GTA5", "data is named KIND:PATH"),
        ("gta5:", "data is named KIND:PATH"),
        (".", r"a folder of your own is folder:PATH/dataset\.yaml"),
    ],
)
def test_specs_that_are_none(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_spec(spec)
