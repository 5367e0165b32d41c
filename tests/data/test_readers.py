"""What each reader alone knows; what all share is in test_dataset_contract.py."""

from __future__ import annotations

from pathlib import Path

import formats
import numpy as np
import pytest
from PIL import Image

from acclimate.data.class_spaces import class_space
from acclimate.data.readers.carla import of_split, reaches_top
from acclimate.data.readers.files import image_size, read_image
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.labels import VOID

REAL = Path(__file__).parents[2] / "../shared/data"


# --- CARLA --------------------------------------------------------------------------------------------------------


def test_sky_is_only_what_reaches_the_top() -> None:
    mask = np.array(
        [
            [1, 0, 0, 0, 1, 1],
            [1, 0, 1, 0, 0, 1],
            [1, 1, 1, 0, 0, 1],
            [0, 0, 0, 0, 1, 0],
            [1, 1, 0, 0, 1, 1],
        ],
        dtype=bool,
    )
    expected = np.array(
        [
            [1, 0, 0, 0, 1, 1],
            [1, 0, 1, 0, 0, 1],  # the pixel at (1, 2) is reached from below
            [1, 1, 1, 0, 0, 1],
            [0, 0, 0, 0, 0, 0],  # a diagonal neighbour does not connect
            [0, 0, 0, 0, 0, 0],
        ],
        dtype=bool,
    )
    np.testing.assert_array_equal(reaches_top(mask), expected)


@pytest.mark.parametrize("density", [0.3, 0.5, 0.6, 0.7, 0.95])
def test_flood_agrees_with_growing_pixel_by_pixel(density: float) -> None:
    mask = np.random.default_rng(3).random((60, 50)) < density
    grown = np.zeros_like(mask)
    grown[0] = mask[0]
    while True:
        bigger = grown.copy()
        bigger[1:] |= grown[:-1]
        bigger[:-1] |= grown[1:]
        bigger[:, 1:] |= grown[:, :-1]
        bigger[:, :-1] |= grown[:, 1:]
        bigger &= mask
        if (bigger == grown).all():
            break
        grown = bigger
    np.testing.assert_array_equal(reaches_top(mask), grown)


def test_flood_of_nothing_and_of_everything() -> None:
    assert not reaches_top(np.zeros((4, 5), dtype=bool)).any()
    assert reaches_top(np.ones((4, 5), dtype=bool)).all()


def test_carla_voids_the_bonnet_and_holes_in_the_map(tmp_path: Path) -> None:
    ids = np.full((600, 8), 7)  # road
    ids[:100] = 0  # sky
    ids[200:220, 2:4] = 0  # a hole without class
    ids[300:310] = 3  # "other"
    ids[480:600] = 10  # a car, then the bonnet
    spec = formats.write_carla(tmp_path, dry=2, wet=0, labels={"000_0000": ids})
    label = open_dataset(spec, split="all").label(0)
    sky, road, car = 0, 3, 8
    assert (label[:100] == sky).all()
    assert (label[200:220, 2:4] == VOID).all()
    assert (label[300:310] == VOID).all()
    assert (label[480:490] == car).all()
    assert (label[490:] == VOID).all()
    assert (label == road).sum() == (100 * 8) + 20 * 6 + 80 * 8 + 170 * 8


def test_carla_holds_out_the_end_of_each_drive(tmp_path: Path) -> None:
    spec = formats.write_carla(tmp_path, dry=20, wet=11)
    val = open_dataset(spec, split="val").names
    assert val == ["000_0018", "000_0019", "wet_02_00_009", "wet_02_00_010"]
    train, everything = open_dataset(spec, split="train").names, open_dataset(spec, split="all").names
    assert sorted([*train, *val]) == list(everything)
    assert of_split([("a_1", Path())], "train") == []


def test_carla_labels_must_have_a_red_channel(tmp_path: Path) -> None:
    spec = formats.write_carla(tmp_path, dry=3, wet=0)
    formats.save(tmp_path / "CameraSeg" / "000_0000.png", formats.grey(formats.some_ids(0, [1])))
    with pytest.raises(UserError, match=r"000_0000\.png has mode L; CARLA labels are 8-bit RGB"):
        open_dataset(spec, split="all").label(0)


# --- ACDC and Dark Zurich -----------------------------------------------------------------------------------------


def test_acdc_reads_all_conditions_or_one(tmp_path: Path) -> None:
    spec = formats.write_acdc(tmp_path, splits=("train", "val", "test"))
    everything = open_dataset(spec, split="val")
    assert list(everything.names[:2]) == [
        "fog/val/GOPR0000/GOPR0000_frame_000000_rgb_anon",
        "fog/val/GOPR0000/GOPR0000_frame_000002_rgb_anon",
    ]
    assert len(everything) == 6
    night = open_dataset(spec, split="val-night")
    assert list(night.names) == list(everything.names[3:])
    expected = np.array([class_space("cityscapes-19").mappings["acdc"][raw] for raw in range(35)])
    np.testing.assert_array_equal(night.label(2), expected[formats.some_ids(1, range(34))])
    assert not open_dataset(spec, split="test").has_labels


def test_dark_zurich_is_the_night_alone(tmp_path: Path) -> None:
    spec = formats.write_dark_zurich(tmp_path, labelled=("val",))
    train, val = (open_dataset(spec, split=split) for split in ("train", "val"))
    assert list(train.names) == [f"train/night/GOPR0356/GOPR0356_frame_{number:06d}_rgb_anon" for number in range(3)]
    assert (train.has_labels, val.has_labels) == (False, True)


# --- IDD-Lite -----------------------------------------------------------------------------------------------------


def test_idd_lite_reads_the_released_layout_and_the_flat_one_alike(tmp_path: Path) -> None:
    released = open_dataset(formats.write_idd_lite(tmp_path / "released"), split="val")
    assert list(released.names) == [f"{number % 2}/{number:06d}_image" for number in (0, 2, 4, 1, 3)]
    for number in range(5):
        formats.save_image(tmp_path / f"flat/val/{number % 2}_{number:06d}.jpg", number)
        ids = formats.some_ids(number, (*range(7), 255))
        formats.save(tmp_path / f"flat/val_labels/{number % 2}_{number:06d}.png", formats.grey(ids))
    flat = open_dataset(f"idd-lite:{tmp_path / 'flat'}", split="val")
    for index in range(5):
        np.testing.assert_array_equal(flat.image(index), released.image(index))
        np.testing.assert_array_equal(flat.label(index), released.label(index))
    np.testing.assert_array_equal(flat.label(3), formats.some_ids(1, (*range(7), 255)))


@pytest.mark.skipif(not (REAL / "idd-lite").is_dir(), reason="IDD-Lite is not here")
def test_the_real_idd_lite_is_read() -> None:
    dataset = open_dataset(f"idd-lite:{REAL / 'idd-lite'}", split="val")
    assert len(dataset) == 102
    assert dataset.image(0).shape == (227, 320, 3)
    assert set(np.unique(dataset.label(0))) <= {*range(7), VOID}


# --- GTA5 ---------------------------------------------------------------------------------------------------------


def test_gta5_reads_palette_indices_not_colours(tmp_path: Path) -> None:
    ids = np.array([[7, 8, 26], [34, 0, 33]])
    spec = formats.write_gta5(tmp_path, images=0)
    formats.save_image(tmp_path / "images" / "00001.png", height=2, width=3)
    formats.save(tmp_path / "labels" / "00001.png", formats.palette(ids))
    assert Image.open(tmp_path / "labels" / "00001.png").mode == "P"
    np.testing.assert_array_equal(open_dataset(spec).label(0), [[0, 1, 13], [VOID, VOID, 18]])


def test_gta5_resizes_a_label_that_disagrees_with_its_image(tmp_path: Path) -> None:
    spec = formats.write_gta5(tmp_path, images=1, labels={"00001": np.kron([[7, 8]], np.ones((24, 20), dtype=int))})
    label = open_dataset(spec).label(0)
    assert label.shape == (formats.HEIGHT, formats.WIDTH)
    assert (label[:, :10] == 0).all()
    assert (label[:, 10:] == 1).all()


# --- SYNTHIA ------------------------------------------------------------------------------------------------------


def test_synthia_takes_the_class_not_the_instance(tmp_path: Path) -> None:
    spec = formats.write_synthia(tmp_path, images=2)
    ids = formats.some_ids(1, range(23))
    table = class_space("cityscapes-16").mappings["synthia"]
    np.testing.assert_array_equal(open_dataset(spec).label(1), np.vectorize(table.__getitem__)(ids))


def test_synthia_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    formats.write_synthia(tmp_path / "RAND_CITYSCAPES", images=2)
    assert open_dataset(f"synthia:{tmp_path}").names == ["0000000", "0000001"]


# --- Cityscapes ---------------------------------------------------------------------------------------------------


def test_cityscapes_pairs_images_with_label_ids_among_their_neighbours(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_cityscapes(tmp_path), split="val")
    assert dataset.names[0] == "aachen/aachen_000000_000019_leftImg8bit"
    table = dataset.class_space.mappings["cityscapes"]
    ids = formats.some_ids(2, range(34))
    np.testing.assert_array_equal(dataset.label(2), np.vectorize(table.__getitem__)(ids))


def test_train_ids_in_place_of_label_ids_are_found_out(tmp_path: Path) -> None:
    spec = formats.write_cityscapes(tmp_path, images=1)
    path = tmp_path / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    formats.save(path, formats.grey(np.full((formats.HEIGHT, formats.WIDTH), 255)))
    with pytest.raises(UserError, match=r"labelIds\.png holds the class id 255 and none above 18"):
        open_dataset(spec).label(0)


# --- images -------------------------------------------------------------------------------------------------------


def test_images_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(formats.noise(0))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(formats.noise(0), k=-1))
    assert image_size(tmp_path / "a.png") == (formats.WIDTH, formats.HEIGHT)


def test_grey_palette_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    values = formats.noise(0)[..., 0]
    formats.save(tmp_path / "grey.png", Image.fromarray(values))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([values] * 3, axis=-1))
    opaque = np.concatenate([formats.noise(1), np.full((*values.shape, 1), 255, dtype=np.uint8)], axis=-1)
    formats.save(tmp_path / "rgba.png", Image.fromarray(opaque))
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), formats.noise(1))


def test_deep_and_huge_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.save(tmp_path / "deep.png", Image.fromarray(np.full((3, 3), 40000, dtype=np.uint16)))
    with pytest.raises(UserError, match=r"deep\.png has more than 8 bits per channel"):
        read_image(tmp_path / "deep.png")
    monkeypatch.setattr("acclimate.io.images.MAX_PIXELS", 100)
    formats.save_image(tmp_path / "huge.png")
    with pytest.raises(UserError, match=r"huge\.png has 20x12 pixels, more than"):
        read_image(tmp_path / "huge.png")


# --- the real ones ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (REAL / "camvid").is_dir(), reason="the real CamVid is not beside the repository")
def test_the_real_camvid() -> None:
    train, val = (open_dataset(f"camvid:{REAL / 'camvid'}", split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (367, 101)
    assert train.image(0).shape == (360, 480, 3)
    label = train.label(0)
    assert (
        label[0].tolist().count(0) + label[0].tolist().count(1) + label[0].tolist().count(5) > 240
    )  # sky, house, tree
    assert np.bincount(label[-60:].ravel(), minlength=256)[:11].argmax() == 3  # road below


@pytest.mark.skipif(not (REAL / "carla").is_dir(), reason="the real CARLA captures are not beside the repository")
def test_the_real_carla() -> None:
    train, val = (open_dataset(f"carla:{REAL / 'carla'}", split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (431 + 45, 48 + 5)
    label = train.label(0)
    assert label.shape == (600, 800)
    assert (label[0] == 0).mean() > 0.9
    assert (label[490:] == VOID).all()
    assert not (label[490:] == 8).any()
