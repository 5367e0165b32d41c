"""Kinds of data files that ``fuzz.py`` damages beside PNG and JPEG: other pictures, archives, annotations, lists."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from acclimate.data.readers.files import image_size, read_ids, read_image
from acclimate.data.registry import open_dataset
from acclimate.detection.registry import open_boxes
from acclimate.errors import UserError
from acclimate.io.arrays import VerifiedArray, write_array
from acclimate.io.video import opened_video
from acclimate.report.reading import read_history

Kind = tuple[str, list[bytes], Callable[[Path], str], Any]
"""File name, seeds, how they are read, how they are mutated."""
_OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("BMP", {}),
    ("GIF", {}),
    ("JPEG2000", {}),
    ("AVIF", {}),
]


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of some format."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def data_kinds(folder: Path, *, mutated: Any, mutated_text: Any) -> dict[str, Kind]:
    """Name -> what is damaged and how it is read.

    Args:
        folder: for the files around the damaged one.
        mutated: damages bytes.
        mutated_text: damages lines.
    """
    noise = np.random.default_rng(0)
    picture = Image.fromarray(noise.integers(0, 255, (24, 32, 3), dtype=np.uint8))
    ids = Image.fromarray(noise.integers(0, 3, (24, 32), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6

    def image(path: Path) -> str:
        pixels = read_image(path)
        assert pixels.shape == (*image_size(path), 3)
        return "read"

    def label(path: Path) -> str:
        assert read_ids(path).ndim == 2
        return "read"

    home = folder / "boxes"
    for name in ("images/train", "annotations", "JPEGImages", "Annotations", "ImageSets/Main"):
        (home / name).mkdir(parents=True, exist_ok=True)
    for name in ("images/train/a.png", "JPEGImages/a.png", "JPEGImages/b.png"):
        picture.save(home / name)
    coco = json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
            "categories": [{"id": 3, "name": "car"}, {"id": 4, "name": "bus"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5], "iscrowd": 0}],
        },
        indent=1,
    ).encode()
    voc = (
        b"<annotation>\n<size><width>32</width><height>24</height></size>\n<object>\n<name>car</name>\n"
        b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>\n</object>\n</annotation>\n"
    )
    (home / "Annotations/a.xml").write_bytes(voc)
    (home / "ImageSets/Main/train.txt").write_text("a\n")

    def with_file(place: str, content: bytes, spec: str) -> str:
        before = (home / place).read_bytes() if (home / place).exists() else None
        (home / place).write_bytes(content)
        try:
            open_boxes(spec).boxes(0)
        finally:
            if before is not None:
                (home / place).write_bytes(before)
        return "read"

    packed = io.BytesIO()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(packed, "a", method) as writer:
            writer.writestr(f"images/{method:05d}.png", saved(picture, "PNG"))
            writer.writestr(f"labels/{method:05d}.png", saved(ids, "PNG"))

    def archive(path: Path) -> str:
        dataset = open_dataset(f"gta5:{path}")
        for index in range(len(dataset)):
            dataset.image(index)
            if dataset.has_labels:
                dataset.label(index)
        return "read"

    listed = folder / "listed"
    (listed / "images").mkdir(parents=True, exist_ok=True)
    picture.save(listed / "images/a.png")
    (listed / "dataset.yaml").write_text("images: {train: {folder: images, list: train.txt}}\n")

    def split_list(path: Path) -> str:
        (listed / "train.txt").write_bytes(path.read_bytes())
        assert list(open_dataset(f"folder:{listed}").names) == ["a"]
        return "read"

    films = []
    for suffix, codec in (("mp4", "mpeg4"), ("avi", "mpeg4"), ("mkv", "mpeg4")):
        film = folder / f"film.{suffix}"
        with av.open(str(film), "w") as container:
            stream = container.add_stream(codec, rate=5)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for number in range(4):
                pixels = noise.integers(0, 255, (24, 32, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        films.append(film.read_bytes())

    def video(path: Path) -> str:
        with opened_video(path) as frames:
            for frame in frames:
                assert frame.image.ndim == 3
        return "read"

    def history(path: Path) -> str:
        found = read_history(path)
        assert all(len(values) == len(found.steps) for values in found.columns.values())
        return "read"

    items = noise.integers(0, 255, (3, 8, 10, 3), dtype=np.uint8)
    write_array(folder / "kept.npy", items.shape, iter(items))

    def kept(path: Path) -> str:
        array = VerifiedArray(path, items.shape)
        for index, item in enumerate(items):
            if (found := array.item(index)) is None:
                raise UserError("an item is damaged, it is made again")
            assert np.array_equal(found, item), "a changed picture was accepted"
        return "unchanged"

    return {
        "videos": ("film.mp4", films[:1], video, mutated),
        "videos of other kinds": ("film.avi", films[1:2], video, mutated),
        "videos of a third kind": ("film.mkv", films[2:], video, mutated),
        "histories": (
            "history.csv",
            [b"step,loss,learning rate\n1,0.5,0.1\n2,0.4,0.1\n3,,0.1\n"],
            history,
            mutated_text,
        ),
        "kept pictures": ("kept.npy", [(folder / "kept.npy").read_bytes()], kept, mutated),
        "other pictures": (
            "image.png",
            [saved(picture, kind, **options) for kind, options in _OTHERS] + [saved(picture, "TIFF", exif=exif)],
            image,
            mutated,
        ),
        "other labels": ("label.png", [saved(ids, kind) for kind in ("TIFF", "BMP", "GIF")], label, mutated),
        "archives": ("set.zip", [packed.getvalue()], archive, mutated),
        "lists of names": ("train.txt", [b"a\na.png\nimages/a.png masks/a.png\n"], split_list, mutated_text),
        "COCO annotations": (
            "train.json",
            [coco],
            lambda path: with_file("annotations/train.json", path.read_bytes(), f"coco:{home}"),
            mutated_text,
        ),
        "VOC annotations": (
            "a.xml",
            [voc],
            lambda path: with_file("Annotations/a.xml", path.read_bytes(), f"voc:{home}"),
            mutated_text,
        ),
        "VOC lists": (
            "train.txt",
            [b"a\nb 1\n"],
            lambda path: with_file("ImageSets/Main/train.txt", path.read_bytes(), f"voc:{home}"),
            mutated_text,
        ),
    }
