"""Tiny datasets in the exact on-disk formats, written from raw ids.

Every writer takes a folder, fills it and returns the spec to open it with. Images are seeded noise; labels are the raw
ids given, or seeded ones among those the format defines.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.data.mapillary_classes import V1_NAMES, V2_NAMES

Ids = NDArray[np.int64]
HEIGHT, WIDTH = 12, 20


def noise(number: int, *, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A coloured picture that differs for every number."""
    return np.random.default_rng([7, number]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def some_ids(number: int, known: Sequence[int], *, height: int = HEIGHT, width: int = WIDTH) -> Ids:
    """Seeded raw ids, each of ``known`` at least possible."""
    return np.random.default_rng([8, number]).choice(np.array(known), (height, width))


def save(path: Path, picture: Image.Image) -> Path:
    """Saves a picture, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def save_image(path: Path, number: int = 0, *, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """A noise picture on disk."""
    return save(path, Image.fromarray(noise(number, height=height, width=width)))


def grey(ids: Ids) -> Image.Image:
    """8-bit greyscale ids."""
    return Image.fromarray(ids.astype(np.uint8))


def palette(ids: Ids) -> Image.Image:
    """Palette picture whose indices are the ids; its colours are unlike the indices."""
    picture = grey(ids)
    picture.putpalette(np.random.default_rng(9).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return picture


def red(ids: Ids) -> Image.Image:
    """RGB picture with the ids in red and nothing in green and blue."""
    return Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], axis=-1).astype(np.uint8))


def png16(channels: NDArray[np.int64], *, filters: Sequence[int] = (0, 1, 2, 3, 4)) -> bytes:
    """A 16-bit PNG of (H, W, C) values, its rows filtered in turn by ``filters``; byte by byte as the standard says."""
    height, width, count = channels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[count]
    pixel = 2 * count
    previous, stream = bytes(width * pixel), b""
    for y in range(height):
        row = channels[y].astype(">u2").tobytes()
        kind = filters[y % len(filters)]
        filtered = bytearray([kind])
        for x, value in enumerate(row):
            left = row[x - pixel] if x >= pixel else 0
            up = previous[x]
            corner = previous[x - pixel] if x >= pixel else 0
            estimate = left + up - corner
            by_distance = sorted(
                [(abs(estimate - left), 0, left), (abs(estimate - up), 1, up), (abs(estimate - corner), 2, corner)]
            )
            predicted = (0, left, up, (left + up) // 2, by_distance[0][2])[kind]
            filtered.append((value - predicted) % 256)
        stream, previous = stream + bytes(filtered), row
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    packed = zlib.compress(stream)
    middle = len(packed) // 2  # decoders must join several data chunks
    chunks = [(b"IHDR", header), (b"IDAT", packed[:middle]), (b"IDAT", packed[middle:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def write_camvid(
    folder: Path, *, images: int = 5, splits: Sequence[str] = ("train", "val"), labels: bool = True
) -> str:
    """``train/ trainannot/ val/ valannot/``, JPEG images."""
    for part, split in enumerate(splits):
        for number in range(images):
            name = f"0001TP_{100 * part + number:06d}"
            save_image(folder / split / f"{name}.jpg", number)
            if labels:
                save(folder / f"{split}annot" / f"{name}.png", grey(some_ids(number, range(12))))
    return f"camvid:{folder}"


def write_carla(folder: Path, *, dry: int = 20, wet: int = 10, labels: Mapping[str, Ids] | None = None) -> str:
    """``CameraRGB/ CameraSeg/`` of a dry and a wet drive, ids in red."""
    names = [f"000_{number:04d}" for number in range(dry)] + [f"wet_02_00_{number:03d}" for number in range(wet)]
    for number, name in enumerate(names):
        ids = (labels or {}).get(name, some_ids(number, range(13)))
        save_image(folder / "CameraRGB" / f"{name}.jpg", number, height=ids.shape[0], width=ids.shape[1])
        save(folder / "CameraSeg" / f"{name}.png", red(ids))
    return f"carla:{folder}"


def write_idd_lite(folder: Path, *, images: int = 5) -> str:
    """``leftImg8bit/ gtFine/`` as released, with the labels of instances beside those of classes."""
    for split in ("train", "val"):
        for number in range(images):
            stem = f"{split}/{number % 2}/{number:06d}"
            save_image(folder / "leftImg8bit" / f"{stem}_image.jpg", number)
            save(folder / "gtFine" / f"{stem}_label.png", grey(some_ids(number, (*range(7), 255))))
            save(folder / "gtFine" / f"{stem}_inst_label.png", grey(some_ids(number, range(200))))
    return f"idd-lite:{folder}"


def write_gta5(folder: Path, *, images: int = 5, labels: Mapping[str, Ids] | None = None) -> str:
    """``images/ labels/``, palette labels."""
    for number in range(1, images + 1):
        name = f"{number:05d}"
        save_image(folder / "images" / f"{name}.png", number)
        save(folder / "labels" / f"{name}.png", palette((labels or {}).get(name, some_ids(number, range(35)))))
    return f"gta5:{folder}"


def write_synthia(folder: Path, *, images: int = 5) -> str:
    """``RGB/ GT/LABELS/``, 16-bit labels: class, instance, nothing."""
    for number in range(images):
        name = f"{number:07d}"
        save_image(folder / "RGB" / f"{name}.png", number)
        ids = some_ids(number, range(23))
        instances = some_ids(number + 50, range(60000))
        path = folder / "GT" / "LABELS" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png16(np.stack([ids, instances, 0 * ids], axis=-1)))
    return f"synthia:{folder}"


def write_cityscapes(folder: Path, *, images: int = 3, splits: Sequence[str] = ("train", "val")) -> str:
    """``leftImg8bit/ gtFine/`` with two cities per split and the other files that lie beside the label ids."""
    for split in splits:
        for city in ("aachen", "bochum"):
            for number in range(images):
                stem = f"{city}_{number:06d}_000019"
                save_image(folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", number)
                labels = folder / "gtFine" / split / city
                save(labels / f"{stem}_gtFine_labelIds.png", grey(some_ids(number, range(34))))
                save(labels / f"{stem}_gtFine_color.png", Image.fromarray(noise(number)))
                save(labels / f"{stem}_gtFine_instanceIds.png", grey(some_ids(number, range(200))))
    return f"cityscapes:{folder}"


def write_acdc(folder: Path, *, images: int = 3, splits: Sequence[str] = ("train", "val")) -> str:
    """``rgb_anon/ gt/`` of two conditions, with the other files that lie beside; test has no labels."""
    for condition in ("fog", "night"):
        for split in splits:
            for number in range(images):
                stem = f"{condition}/{split}/GOPR{number % 2:04d}/GOPR{number % 2:04d}_frame_{number:06d}"
                save_image(folder / "rgb_anon" / f"{stem}_rgb_anon.png", number)
                save_image(folder / "rgb_anon" / f"{stem.replace(split, split + '_ref')}_rgb_ref_anon.png", number)
                if split != "test":
                    save(folder / "gt" / f"{stem}_gt_labelIds.png", grey(some_ids(number, range(34))))
                    save(folder / "gt" / f"{stem}_gt_labelColor.png", Image.fromarray(noise(number)))
    return f"acdc:{folder}"


def write_dark_zurich(folder: Path, *, images: int = 3, labelled: Sequence[str] = ("train", "val")) -> str:
    """``rgb_anon/ gt/`` at night. As released only val has labels; the contract tests want some in train."""
    for split in ("train", "val"):
        for time in ("night", "day"):
            for number in range(images):
                stem = f"{split}/{time}/GOPR0356/GOPR0356_frame_{number:06d}"
                save_image(folder / "rgb_anon" / f"{stem}_rgb_anon.png", number)
                if split in labelled and time == "night":
                    save(folder / "gt" / f"{stem}_gt_labelIds.png", grey(some_ids(number, range(34))))
    return f"dark-zurich:{folder}"


def write_mapillary(folder: Path, *, images: int = 3, version: str = "v1.2", layout: str = "v1") -> str:
    """``training/images/*.jpg`` and its palette labels, as release 1.x (``v1``) or 2.0 (``v2``) lays them out."""
    names, config = (V1_NAMES, "config.json") if layout == "v1" else (V1_NAMES, f"config_{version}.json")
    names = V2_NAMES if version == "v2.0" else names
    for split in ("training", "validation"):
        for number in range(images):
            save_image(folder / split / "images" / f"{split}{number}.jpg", number)
            labels = folder / split / ("labels" if layout == "v1" else f"{version}/labels")
            save(labels / f"{split}{number}.png", palette(some_ids(number, range(len(names)))))
            save(folder / split / "instances" / f"{split}{number}.png", grey(some_ids(number, range(200))))
    content = {"labels": [{"readable": name} for name in names]}
    (folder / config).write_text(json.dumps(content), encoding="utf-8")
    return f"mapillary:{folder}"


def write_mapillary_2(folder: Path, *, images: int = 3) -> str:
    """The v2.0 labels of release 2.0."""
    write_mapillary(folder, images=images, version="v2.0", layout="v2")
    return f"mapillary-2:{folder}"


def zipped(folder: Path, archive: Path, *, around: str = "") -> Path:
    """All files of a folder as one archive, perhaps with a folder around them."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                writer.write(path, f"{around}{path.relative_to(folder).as_posix()}")
    return archive


FOLDER_YAML = """\
name: garden
images: {train: photos/train, val: photos/val}
labels: {train: masks/train, val: masks/val}
label_name: {_photo: _mask}
classes:
  - grass
  - {name: stone, colour: [120, 120, 120]}
  - water
ids: {10: grass, 20: stone, 30: water, 0: void}
"""


def write_folder(folder: Path, *, images: int = 5, yaml: str = FOLDER_YAML) -> str:
    """A set described by a ``dataset.yaml``, with sub-folders."""
    for split in ("train", "val"):
        for number in range(images):
            place = f"{split}/{'north' if number % 2 else 'south'}/{number:02d}"
            save_image(folder / "photos" / f"{place}_photo.JPG", number)
            save(folder / "masks" / f"{place}_mask.png", grey(some_ids(number, (0, 10, 20, 30))))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.yaml").write_text(yaml, encoding="utf-8")
    return f"folder:{folder / 'dataset.yaml'}"


WRITERS = {
    "acdc": write_acdc,
    "dark-zurich": write_dark_zurich,
    "camvid": write_camvid,
    "carla": write_carla,
    "cityscapes": write_cityscapes,
    "folder": write_folder,
    "gta5": write_gta5,
    "idd-lite": write_idd_lite,
    "mapillary": write_mapillary,
    "mapillary-2": write_mapillary_2,
    "synthia": write_synthia,
}
"""Kind of file dataset -> writer; the contract tests fail for a kind that has none."""


def label_files(folder: Path) -> list[Path]:
    """The label files of the train split, sorted."""
    parts = (
        "CameraSeg",
        "labels",
        "LABELS",
        "trainannot",
        "gtFine/train",
        "masks/train",
        "gt/*/train",
        "gt/train/night",
    )
    files = [path for part in parts for path in folder.rglob(f"{part}/**/*.png") if "color" not in path.name.lower()]
    return sorted(path for path in set(files) if "inst" not in path.name)


def image_files(folder: Path) -> list[Path]:
    """The image files of the train split, sorted."""
    parts = ("CameraRGB", "images", "RGB", "train", "leftImg8bit/train", "photos/train")
    files = {path for part in parts for path in folder.rglob(f"{part}/**/*.*")}
    return sorted(path for path in files if not {"gtFine", "gt", "masks", "day"} & set(path.parts))
