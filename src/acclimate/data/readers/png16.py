"""The first channel of 16-bit PNGs, which Pillow reduces to 8 bits.

PNG specification (third edition), sections 7 (encoding), 9 (filtering) and 11 (chunks).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from acclimate.data.readers.archives import ArchivePath, Place
from acclimate.errors import UserError
from acclimate.io.images import MAX_PIXELS
from acclimate.io.reading import bytes_of, stream_of

MOST_BYTES = 2**30
"""A picture of as many pixels as are read has fewer, packed."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Channels by colour type: grey, RGB, grey + alpha, RGBA."""
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


def is_png_of_16_bits(path: Place) -> bool:
    """Whether the file is a PNG with 16 bits per channel; False as well for files that are no PNG or are gone."""
    try:
        if isinstance(path, ArchivePath):
            head = path.read_bytes()[:25]
        else:
            with stream_of(path) as stream:
                head = stream.read(25)
    except (OSError, UserError):
        return False
    return head[:8] == _SIGNATURE and len(head) == 25 and head[24] == 16


def read_first_channel(path: Place) -> NDArray[np.uint16]:
    """The first channel of a 16-bit PNG (red, or grey), shape (H, W).

    Raises:
        UserError: the file is damaged, interlaced, or too large.
    """
    try:
        return _decoded(bytes_of(path, most=MOST_BYTES), path)
    except FileNotFoundError:
        raise UserError(f"{path} is gone; it was there when the data set was opened") from None
    except (OSError, ValueError, struct.error, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read as a 16-bit PNG ({error}); replace it with an intact copy") from error


def _decoded(content: bytes, path: Place) -> NDArray[np.uint16]:
    width, height, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", content[16:29])
    if depth != 16 or colour_type not in _CHANNELS or interlace:
        raise UserError(
            f"{path} is not a plain 16-bit PNG (depth {depth}, interlaced: {bool(interlace)}); save it as one"
        )
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{path} has {width}x{height} pixels, more than the {MAX_PIXELS // 10**6} million that are read"
        )
    pixel = 2 * _CHANNELS[colour_type]
    size = height * (1 + width * pixel)
    inflate = zlib.decompressobj()
    stream = inflate.decompress(_image_data(content), size)  # never more than the header promises
    if len(stream) < size:
        raise ValueError(f"the file is truncated: {len(stream)} of {size} bytes of pixels")
    rows = np.frombuffer(stream, dtype=np.uint8).reshape(height, 1 + width * pixel)
    filters = rows[:, 0]
    if filters.max(initial=0) > _PAETH:
        raise ValueError(f"unknown row filter {filters.max()}")
    # filters look at bytes a whole pixel apart, so the two bytes of one channel can be decoded without the others
    channel = rows[:, 1:].reshape(height, width, pixel)[:, :, :2]
    high_low = _unfiltered(channel, filters)
    values: NDArray[np.uint16] = high_low[..., 0].astype(np.uint16) * np.uint16(256) + high_low[..., 1]
    return values


def _image_data(content: bytes) -> bytes:
    """The compressed pixels: all IDAT chunks joined."""
    parts, position = [], len(_SIGNATURE)
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"IDAT":
            part = content[position + 8 : position + 8 + length]
            checksum = content[position + 8 + length : position + 12 + length]
            if zlib.crc32(kind + part) != int.from_bytes(checksum, "big"):
                raise ValueError("the checksum of its pixels does not fit them")
            parts.append(part)
        elif kind == b"IEND":
            break
        position += 12 + length
    return b"".join(parts)


def _unfiltered(filtered: NDArray[np.uint8], filters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undoes the row filters of ``filtered``, shape (H, W, bytes).

    A byte depends on its left, upper and upper-left neighbours, so all pixels of one anti-diagonal x + y are
    independent of each other: the walk goes over anti-diagonals, each one vector operation over the rows, whatever
    mixture of filters the rows use.
    """
    height, width, lanes = filtered.shape
    span = width + height - 1
    # skewed[d, y + 1] is the pixel (y, x = d - y); the first row and everything outside stay zero, as the format wants
    padded = np.zeros((height, width + height, lanes), dtype=np.uint8)
    padded[:, :width] = filtered
    skewed = padded.reshape(-1, lanes)[: height * span].reshape(height, span, lanes).transpose(1, 0, 2)
    source = np.ascontiguousarray(skewed)
    result = np.zeros((span + 2, height + 1, lanes), dtype=np.uint8)  # two empty diagonals before the first
    kinds = filters[:, None]
    is_sub, is_up, is_average, is_paeth = (kinds == kind for kind in (_SUB, _UP, _AVERAGE, _PAETH))
    any_average, any_paeth = bool(is_average.any()), bool(is_paeth.any())
    for diagonal in range(span):
        first, last = max(0, diagonal - width + 1), min(height, diagonal + 1)
        here = slice(first, last)
        left = result[diagonal + 1, first + 1 : last + 1]
        up = result[diagonal + 1, first:last]
        predicted = is_sub[here] * left + is_up[here] * up
        if any_average:
            predicted += is_average[here] * ((left.astype(np.uint16) + up) >> 1).astype(np.uint8)
        if any_paeth:
            predicted += is_paeth[here] * _paeth(left, up, result[diagonal, first:last])
        result[diagonal + 2, first + 1 : last + 1] = source[diagonal, here] + predicted
    # undo the skew: pixel (y, x) lies on diagonal x + y
    rows = np.arange(height)[:, None]
    decoded: NDArray[np.uint8] = result[rows + np.arange(width)[None] + 2, rows + 1]
    return decoded


def _paeth(left: NDArray[np.uint8], up: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of the three neighbours the one nearest to left + up - corner; ties go to left, then up."""
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    to_left, to_up, to_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    nearest: NDArray[np.uint8] = np.where(
        (to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner)
    )
    return nearest
