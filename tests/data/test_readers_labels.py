"""Label files and pictures of every encoding give exactly what was drawn, or are refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import formats
import numpy as np
import pytest
from formats import Ids
from PIL import Image

from acclimate.data.check import check
from acclimate.data.readers.files import TURNED, IdTable, UnknownValues, image_size, read_ids, read_image
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.labels import VOID

ids_4 = formats.some_ids(0, range(4))


def png(width: int, height: int, *, bits: int, colour_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of packed rows without filters, chunk by chunk as the standard says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = (width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type] + 7) // 8
    stream = b"".join(b"\0" + rows[at : at + line] for at in range(0, line * height, line))
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(stream))
        + chunk(b"IEND", b"")
    )


def packed(ids: Ids, bits: int) -> bytes:
    """Samples of 1, 2 or 4 bits, the first in the highest bits of a byte."""
    spread = (ids[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(len(ids), -1).astype(np.uint8), axis=1).tobytes()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_samples_of_few_bits_are_ids(bits: int, tmp_path: Path) -> None:
    ids = formats.some_ids(3, range(2**bits), height=7, width=13)
    (tmp_path / "a.png").write_bytes(png(13, 7, bits=bits, colour_type=0, rows=packed(ids, bits)))
    np.testing.assert_array_equal(read_ids(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_indices_of_few_bits_are_ids(bits: int, tmp_path: Path) -> None:
    ids = formats.some_ids(3, range(2**bits), height=7, width=13)
    colours = b"".join(bytes([200, 10 * number, 3]) for number in range(2**bits))
    palette = struct.pack(">I", len(colours)) + b"PLTE" + colours + struct.pack(">I", zlib.crc32(b"PLTE" + colours))
    (tmp_path / "a.png").write_bytes(png(13, 7, bits=bits, colour_type=3, rows=packed(ids, bits), extra=palette))
    np.testing.assert_array_equal(read_ids(tmp_path / "a.png"), ids)


def test_an_unknown_id_is_named_as_it_is_in_the_file(tmp_path: Path) -> None:
    formats.save_image(tmp_path / "images/a.png", height=12, width=20)
    path = tmp_path / "labels/a.png"
    path.parent.mkdir()
    path.write_bytes(png(20, 12, bits=2, colour_type=0, rows=packed(ids_4, 2)))
    (tmp_path / "dataset.yaml").write_text("images: images\nlabels: labels\nclasses: [grass, stone, water]\n")
    with pytest.raises(UserError, match=r"a\.png holds the class id 3, which"):
        open_dataset(f"folder:{tmp_path}").label(0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "tiff_deflate"}),
        ("a.tif", {"compression": "packbits"}),
        ("a.png", {"optimize": True}),
    ],
)
@pytest.mark.parametrize("with_palette", [False, True])
def test_lossless_files_give_what_was_drawn(
    name: str, options: dict[str, object], with_palette: bool, tmp_path: Path
) -> None:
    picture = formats.palette(ids_4) if with_palette and "optimize" not in options else formats.grey(ids_4)
    path = tmp_path / name
    picture.save(path, **options)
    np.testing.assert_array_equal(read_ids(path), ids_4)


@pytest.mark.parametrize("bits", [8, 16])
def test_sixteen_bits_of_grey_are_ids(bits: int, tmp_path: Path) -> None:
    ids = formats.some_ids(1, (0, 3, 255, 256 if bits == 16 else 7, 60000 if bits == 16 else 9))
    for name in ("a.png", "a.tif"):
        Image.fromarray(ids.astype(np.uint16 if bits == 16 else np.uint8)).save(tmp_path / name)
        np.testing.assert_array_equal(read_ids(tmp_path / name), ids)


LOSSY = [("JPEG", {"quality": 100}), ("JPEG2000", {}), ("WEBP", {"quality": 100}), ("AVIF", {"quality": 100}),
         ("TIFF", {"compression": "jpeg", "quality": 100})]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), LOSSY, ids=[kind for kind, _ in LOSSY])
@pytest.mark.parametrize("reader", sorted(formats.WRITERS))
def test_lossy_content_is_refused_by_every_reader_whatever_its_name(
    kind: str, options: dict[str, object], reader: str, tmp_path: Path
) -> None:
    spec = formats.WRITERS[reader](tmp_path)
    path = formats.label_files(tmp_path)[0]
    picture = Image.fromarray(formats.noise(1)) if reader in ("carla", "synthia") else formats.grey(ids_4)
    content = io.BytesIO()
    picture.convert("RGB" if kind in ("WEBP", "AVIF") else picture.mode).save(content, kind, **options)
    path.write_bytes(content.getvalue())
    with pytest.raises(UserError, match="labels must be lossless"):
        open_dataset(spec).label(0)
    assert any("labels must be lossless" in problem and path.name in problem for problem in check(spec).problems)


def test_masks_in_colours_may_be_lossless_webp_but_no_lossy_one(tmp_path: Path) -> None:
    spec = colour_set(tmp_path, np.zeros((4, 4), dtype=int))
    colours = np.array([(128, 64, 128), (0, 0, 142)], dtype=np.uint8)[np.eye(4, dtype=int)]
    path = tmp_path / "labels/a.png"
    Image.fromarray(colours).save(path, "WEBP", lossless=True)
    np.testing.assert_array_equal(open_dataset(spec).label(0), np.eye(4))
    Image.fromarray(colours).save(path, "WEBP", quality=100)
    with pytest.raises(UserError, match="is a lossy WebP"):
        open_dataset(spec).label(0)


def colour_set(folder: Path, ids: Ids) -> str:
    """One picture with a mask drawn in the colours of two classes."""
    colours = np.array([(128, 64, 128), (0, 0, 142)], dtype=np.uint8)
    formats.save_image(folder / "images/a.png", height=ids.shape[0], width=ids.shape[1])
    formats.save(folder / "labels/a.png", Image.fromarray(colours[ids]))
    (folder / "dataset.yaml").write_text(
        'images: images\nlabels: labels\nclasses: [{name: road, colour: "#804080"}, {name: car, colour: [0, 0, 142]}]\n'
        "ids: colours\n"
    )
    return f"folder:{folder}"


def test_erased_pixels_are_void_and_half_erased_ones_an_error(tmp_path: Path) -> None:
    spec = colour_set(tmp_path, np.eye(4, dtype=int))
    path = tmp_path / "labels/a.png"
    channels = np.array(Image.open(path).convert("RGBA"))
    channels[0, :2, 3] = 0  # a car and a road, erased: their colours are kept beneath
    Image.fromarray(channels).save(path)
    label = open_dataset(spec).label(0)
    assert label[0].tolist() == [VOID, VOID, 0, 0]
    np.testing.assert_array_equal(label[1:], np.eye(4)[1:])
    assert any("1 masks have transparent pixels, which are void: a.png" in note for note in check(spec).notes)
    channels[2, 2, 3] = 128
    Image.fromarray(channels).save(path)
    with pytest.raises(UserError, match="partly transparent"):
        open_dataset(spec).label(0)


def test_a_transparent_index_of_a_palette_is_void(tmp_path: Path) -> None:
    spec = colour_set(tmp_path, np.eye(4, dtype=int))
    picture = Image.fromarray(np.eye(4, dtype=np.uint8) + 1)
    picture.putpalette([9, 9, 9, 128, 64, 128, 0, 0, 142])
    picture.putpixel((3, 0), 0)
    picture.save(tmp_path / "labels/a.png", transparency=0)
    assert open_dataset(spec).label(0)[0].tolist() == [1, 0, 0, VOID]


def test_sixteen_bits_of_colour_are_refused_in_masks_and_in_pictures(tmp_path: Path) -> None:
    spec = colour_set(tmp_path, np.eye(12, dtype=int))
    deep = formats.png16(np.full((12, 12, 3), 4000))
    (tmp_path / "labels/a.png").write_bytes(deep)
    with pytest.raises(UserError, match="16 bits per channel"):
        open_dataset(spec).label(0)
    for channels in (1, 2, 3, 4):
        (tmp_path / "images/a.png").write_bytes(formats.png16(np.full((12, 12, channels), 4000)))
        with pytest.raises(UserError, match=r"more than 8 bits per channel .*12 bits in 16"):
            open_dataset(spec).image(0)


@pytest.mark.parametrize("mode", ["RGB", "LA", "RGBA"])
def test_ids_saved_in_several_equal_channels_are_read_and_told(mode: str, tmp_path: Path) -> None:
    spec = formats.write_camvid(tmp_path, splits=("train",))
    path = formats.label_files(tmp_path)[0]
    ids = formats.some_ids(0, range(12))
    formats.grey(ids).convert(mode).save(path)
    np.testing.assert_array_equal(open_dataset(spec).label(0), np.where(ids == 11, VOID, ids))
    assert check(spec).notes == [f"1 labels hold their ids three times (red = green = blue): {path.name}"]
    picture = np.array(formats.grey(ids).convert(mode))
    picture[0, 0, -1] = picture[0, 0, -1] // 2 + 3
    Image.fromarray(picture).save(path)
    with pytest.raises(UserError, match="is a colour picture" if mode == "RGB" else "transparent pixels"):
        open_dataset(spec).label(0)


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png"])
def test_a_label_of_several_pictures_is_refused(name: str, tmp_path: Path) -> None:
    first, second = (formats.grey(formats.some_ids(number, range(9))) for number in (1, 2))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.raises(UserError, match="holds several pictures"):
        read_ids(tmp_path / name)


# --- palettes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gta5", "mapillary", "folder", "camvid"])
def test_palettes_that_differ_from_file_to_file_are_refused(kind: str, tmp_path: Path) -> None:
    spec = formats.WRITERS[kind](tmp_path)
    paths = formats.label_files(tmp_path)
    for number, path in enumerate(paths[:2]):
        picture = formats.grey(formats.some_ids(0, (0, 10)))
        palette = np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8)
        palette[30 : 30 + 3 * number] ^= 255  # of index 10 in the second file
        picture.putpalette(palette.tobytes())
        picture.save(path)
    with pytest.raises(UserError, match=r"draws the index 10 as #.* but .* draws it as #.*ids: colours"):
        open_dataset(spec).label(1)
    assert sum("draws the index 10" in problem for problem in check(spec).problems) >= 1
    picture.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    picture.save(paths[1])
    open_dataset(spec).label(1)


def test_a_palette_that_contradicts_the_declared_colours_is_refused(tmp_path: Path) -> None:
    formats.save_image(tmp_path / "images/a.png", height=2, width=2)
    picture = formats.grey(np.array([[0, 1], [1, 0]]))
    picture.putpalette([0, 0, 142, 128, 64, 128])  # car, road
    formats.save(tmp_path / "labels/a.png", picture)
    yaml = (
        "images: images\nlabels: labels\n"
        "classes: [{name: road, colour: [128, 64, 128]}, {name: car, colour: [0, 0, 142]}]\n"
    )
    (tmp_path / "dataset.yaml").write_text(yaml)
    with pytest.raises(UserError, match=r"draws the index 0 in #00008e, the colour of 'car', but the id 0 is 'road'"):
        open_dataset(f"folder:{tmp_path}").label(0)
    (tmp_path / "dataset.yaml").write_text(yaml + "ids: {0: car, 1: road}\n")
    assert open_dataset(f"folder:{tmp_path}").label(0).tolist() == [[1, 0], [0, 1]]
    (tmp_path / "dataset.yaml").write_text(yaml + "ids: colours\n")
    assert open_dataset(f"folder:{tmp_path}").label(0).tolist() == [[1, 0], [0, 1]]


# --- orientation ------------------------------------------------------------------------------------------------------

TURNS = {1: 0, 3: 2, 6: 3, 8: 1}
"""EXIF orientation -> quarter turns to the left that make the stored picture upright."""


def tagged(picture: Image.Image, orientation: int) -> bytes:
    """The picture as a PNG with that orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    picture.save(content, "PNG", exif=exif)
    return content.getvalue()


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("label_says_so", [True, False])
def test_picture_and_label_are_turned_where_both_say_so(orientation: int, label_says_so: bool, tmp_path: Path) -> None:
    spec = formats.write_camvid(tmp_path, images=1, splits=("train",))
    image, label = formats.image_files(tmp_path)[0], formats.label_files(tmp_path)[0]
    pixels, ids = formats.noise(5, height=6, width=9), formats.some_ids(0, range(11), height=6, width=9)
    image.unlink()
    image = image.with_suffix(".png")
    image.write_bytes(tagged(Image.fromarray(pixels), orientation))
    label.write_bytes(tagged(formats.grey(ids), orientation if label_says_so else 1))
    upright = np.rot90(pixels, TURNS[orientation])
    dataset = open_dataset(spec)
    np.testing.assert_array_equal(dataset.image(0), upright)
    assert image_size(image) == upright.shape[:2]
    report = check(spec)
    note = f"1 {TURNED}: {image.name}"
    assert (note in report.notes) == (orientation != 1)
    if orientation in (6, 8) and not label_says_so:
        with pytest.raises(UserError, match=f"EXIF orientation {orientation} says"):
            dataset.label(0)
        assert "EXIF" in report.problems[0]
        return
    turned = np.rot90(ids, TURNS[orientation]) if label_says_so else ids
    np.testing.assert_array_equal(dataset.label(0), turned)
    assert report.problems == []


def test_a_turned_tiff_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = formats.noise(5, height=6, width=9)
    Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.rot90(pixels, 3))
    assert image_size(tmp_path / "a.tif") == (9, 6)


def test_a_label_with_swapped_sides_is_not_squeezed_to_fit(tmp_path: Path) -> None:
    spec = formats.write_gta5(tmp_path, images=2, labels={"00001": np.full((20, 12), 7), "00002": np.full((12, 40), 7)})
    for index in (0, 1):
        with pytest.raises(UserError, match="a label must have its image's size"):
            open_dataset(spec).label(index)


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "jfif", "png", "webp", "tif", "tiff", "bmp", "gif", "jp2", "avif"])
def test_pictures_of_every_suffix_are_read(suffix: str, tmp_path: Path) -> None:
    formats.save_image(tmp_path / f"images/a.{suffix}", height=16, width=24)
    (tmp_path / "dataset.yaml").write_text("images: images\n")
    dataset = open_dataset(f"folder:{tmp_path}")
    assert dataset.names == ["a"]
    assert dataset.image(0).shape == (16, 24, 3)
    if suffix in ("png", "tif", "tiff", "bmp"):
        np.testing.assert_array_equal(dataset.image(0), formats.noise(0, height=16, width=24))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["EPS", "PPM", "PCX", "TGA", "SGI", "ICO", "PDF", "XBM", "IM", "MSP", "SPIDER"])
def test_other_formats_are_refused_whatever_their_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    Image.new("1" if kind in ("XBM", "MSP") else "F" if kind == "SPIDER" else "RGB", (16, 16)).save(content, kind)
    (tmp_path / "a.png").write_bytes(POSTSCRIPT if kind == "EPS" else content.getvalue())

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", started)
    for read in (read_image, image_size, read_ids):
        with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "mapping",
    [
        {0: 3, 7: 0, 255: 255},
        {raw: (raw * 7) % 256 for raw in range(256)},
        {raw: raw for raw in range(256) if raw != 9},
    ],
    ids=["few", "all 256, no train id free", "all but one"],
)
def test_ids_of_8_bits_are_mapped_as_those_of_16(mapping: dict[int, int]) -> None:
    """The way through a table of bytes, and that through a table of numbers."""
    table = IdTable(mapping)
    ids = np.random.default_rng(0).choice(sorted(mapping), size=(9, 11))
    expected = np.vectorize(mapping.get)(ids)
    place = Path("label.png")
    for kind in (np.uint8, np.uint16):
        assert np.array_equal(table.train_ids(ids.astype(kind), place, spec="folder:x"), expected)
    others = IdTable(mapping, others=255)
    assert np.array_equal(others.train_ids(ids.astype(np.uint8), place, spec="folder:x"), expected)
    if 9 not in mapping:
        ids[2, 3] = 9
        with pytest.raises(UnknownValues, match="class id 9"):
            table.train_ids(ids.astype(np.uint8), place, spec="folder:x")
        assert others.train_ids(ids.astype(np.uint8), place, spec="folder:x")[2, 3] == 255
