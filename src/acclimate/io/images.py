"""Opening picture files: the one place where Pillow meets a file that somebody else made.

Pillow knows some forty formats, among them PostScript, which it hands to Ghostscript. Only the formats listed here are
tried, whatever a file's suffix says.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from acclimate.errors import UserError
from acclimate.io.reading import Readable, stream_of

MAX_PIXELS = 100_000_000
"""Larger images are refused: a small malicious file can claim a size that would fill the memory."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF")
"""The formats that are read, by Pillow's names."""

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".avif")
"""What files of these formats are called, lower case."""

OTHER_PICTURES = (
    ".heic", ".heif", ".jxl", ".ppm", ".pgm", ".pnm", ".tga", ".exr", ".hdr", ".dng", ".nef", ".cr2", ".arw", ".psd",
    ".svg", ".j2k", ".jpx", ".jpe", ".pcx", ".sgi", ".eps", ".ps", ".ico", ".npy", ".raw", ".mp4", ".avi", ".mov",
    ".mkv",
)  # fmt: skip
"""What else pictures and videos are called: not read, but not passed over in silence either."""

# of bombs, whose sizes are looked at here, and of odd metadata, which nothing depends on
warnings.filterwarnings("ignore", module=r"PIL\.")

_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, PILImage.DecompressionBombError,
    # what Pillow's decoders of TIFF, WebP, JPEG 2000 and AVIF raise on damaged headers
    KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError, OverflowError, RuntimeError, AssertionError,
)  # fmt: skip
_ORIENTATION = 0x0112
_BITS, _COMPRESSION, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 259, 262, 0
_LOSSLESS_TIFF = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000}
"""None, CCITT (2 to 4), LZW, deflate (two codes), PackBits, LZMA, Zstandard; JPEG, WebP and the like are not here."""


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    PILImage.init()  # a Pillow built without some library lacks that format
    return tuple(name for name in FORMATS if name in PILImage.OPEN)


@contextmanager
def opened(place: Readable, *, whole: bool = False) -> Iterator[PILImage.Image]:
    """An image file, decoded when its pixels are asked for; whatever goes wrong with it becomes one UserError.

    Args:
        place: a path on disk, or inside an archive.
        whole: also look at the checksums of a PNG, which Pillow leaves alone where they are of pixels.

    Raises:
        UserError: the file is missing, no regular file, of no format that is read, damaged, or too large.
    """
    try:
        with stream_of(place) if isinstance(place, Path) else io.BytesIO(place.read_bytes()) as stream:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of bombs and odd metadata: sizes are looked at below
                picture = PILImage.open(stream, formats=_formats())
                if whole and picture.format == "PNG":
                    _verify_png(stream)
            with picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise UserError(
                        f"{place} has {picture.width}x{picture.height} pixels, more than the "
                        f"{MAX_PIXELS // 10**6} million that are read; make it smaller"
                    )
                yield picture
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{place} is gone; it was there when the data set was opened") from None
    except UnidentifiedImageError as error:
        raise UserError(
            f"{place} cannot be read as an image (it is damaged, or none of {', '.join(_formats())}): replace or "
            "remove it"
        ) from error
    except _UNREADABLE as error:
        raise UserError(
            f"{place} cannot be read as an image ({error}); it is damaged or not what its name says: replace or remove "
            "it"
        ) from error


def _verify_png(stream: BinaryIO) -> None:
    """Compares the critical chunks of a PNG with their checksums, and goes back to where the stream was.

    Raises:
        ValueError: one is not what was written.
    """
    position = stream.tell()
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind[0] & 0x20:  # lower case: a chunk that may be left out, about which programs are careless
            stream.seek(length + 4, io.SEEK_CUR)
            continue
        content, check = stream.read(length), stream.read(4)
        if int.from_bytes(check, "big") != zlib.crc32(content, zlib.crc32(kind)):
            raise ValueError(f"its chunk {kind!r} does not match its checksum")
        if kind == b"IEND":
            break
    stream.seek(position)


def orientation(picture: PILImage.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none; to be asked before pixels are decoded."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # asking further would decode the whole picture in search of a late chunk
    value = picture.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright_size(picture: PILImage.Image) -> tuple[int, int]:
    """(height, width) of the upright picture, from its header alone."""
    width, height = picture.size
    # 5 to 8 are the orientations that lie on a side; Pillow gives the size of a TIFF as if it were upright already
    on_a_side = orientation(picture) >= 5 and picture.format != "TIFF"
    return (width, height) if on_a_side else (height, width)


def upright(picture: PILImage.Image) -> PILImage.Image:
    """The decoded picture, turned as its EXIF orientation says."""
    if orientation(picture) == 1 or picture.format == "TIFF":  # Pillow turns a TIFF when it decodes it
        return picture
    return ImageOps.exif_transpose(picture)


def raw_mode(picture: PILImage.Image) -> str:
    """How samples lie in the file (``L;2``: grey of 2 bits), in Pillow's words; before pixels are decoded."""
    tiles: Any = getattr(picture, "tile", ())
    if not tiles:
        return picture.mode
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else picture.mode


def has_16_bits(picture: PILImage.Image) -> bool:
    """Whether channels have 16 bits or more in the file, of which Pillow may keep 8; before pixels are decoded."""
    bits: Any = picture.tag_v2.get(_BITS, (8,)) if picture.format == "TIFF" else ()  # type: ignore[attr-defined]
    return picture.mode.startswith(("I", "F")) or ";16" in raw_mode(picture) or max(bits, default=8) > 8


def lossy(picture: PILImage.Image) -> str | None:
    """Why pixels may differ from what was drawn: the name of a lossy format, or None; by content, not by suffix."""
    if picture.format in ("PNG", "BMP", "DIB", "GIF"):
        return None
    if picture.format == "TIFF":
        tags: Any = picture.tag_v2  # type: ignore[attr-defined]
        return None if tags.get(_COMPRESSION, 1) in _LOSSLESS_TIFF else "a TIFF with lossy compression"
    if picture.format == "WEBP":
        stream: Any = picture.fp  # type: ignore[attr-defined]
        stream.seek(0)
        return None if _is_lossless_webp(stream.read(1 << 20)) else "a lossy WebP"
    return {"MPO": "a JPEG", "JPEG": "a JPEG", "JPEG2000": "a JPEG 2000"}.get(str(picture.format), str(picture.format))


def _is_lossless_webp(content: bytes) -> bool:
    """Whether the first picture of a WebP is of the lossless kind (chunk VP8L; RIFF container, Google 2012)."""
    position = 12
    while position + 8 <= len(content):
        kind, length = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        if kind in (b"VP8L", b"VP8 ", b"ANMF"):
            return kind == b"VP8L"
        position += 8 + length + length % 2
    return False


def white_is_zero(picture: PILImage.Image) -> bool:
    """Whether a grey TIFF counts from white, which Pillow turns over when it decodes."""
    tags: Any = picture.tag_v2 if picture.format == "TIFF" else {}  # type: ignore[attr-defined]
    return bool(tags.get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO)


def has_more_pictures(picture: PILImage.Image) -> bool:
    """Whether a file holds more than one picture; after the pixels of the first were taken."""
    try:
        picture.seek(1)
    except (EOFError, ValueError, OSError, SyntaxError, KeyError, TypeError):
        return False
    return True


def alpha(picture: PILImage.Image) -> NDArray[np.uint8] | None:
    """Opacity of every pixel, 0 to 255, shape (H, W); None where the picture has no transparency."""
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return None
    return np.array(picture.convert("RGBA").getchannel("A"))
