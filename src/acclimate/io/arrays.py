"""Large arrays of bytes on disk, item by item: memory-mapped, with a checksum for each item.

A file is what NumPy writes (``.npy``), followed by the CRC-32 of every item and a SHA-256 over these and the header.
The few bytes at the end are verified when the file is opened, each item when it is first read: a copy of a whole data
set need not be read through before training begins.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import UserError
from acclimate.io.files import atomic

_CHECK, _SEAL = 4, 32
"""Bytes of an item's checksum, and of the one over all of them."""


def write_array(path: Path, shape: tuple[int, ...], items: Iterable[NDArray[np.uint8]]) -> None:
    """Writes items of one shape in their order, atomically and in constant memory.

    Args:
        path: the file.
        shape: (number of items, shape of an item).
        items: uint8.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    header = _header(shape)
    with atomic(path) as temporary, open(temporary, "wb") as stream:
        stream.write(header)
        checks = bytearray()
        for item in items:
            content = np.ascontiguousarray(item)
            if content.dtype != np.uint8 or content.shape != shape[1:]:
                raise ValueError(f"expected items of {shape[1:]} uint8, got {content.shape} {content.dtype}")
            stream.write(content.data)
            checks += struct.pack("<I", zlib.crc32(content.data))
        stream.write(checks)
        stream.write(hashlib.sha256(header + checks).digest())


class VerifiedArray:
    """A file that :func:`write_array` wrote, opened for reading.

    Args:
        path: the file.
        shape: (number of items, shape of an item), as it was written.

    Raises:
        UserError: it is missing, of another shape, or damaged outside of its items.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        header, count = _header(shape), shape[0]
        size = len(header) + math.prod(shape)
        try:
            with open(path, "rb") as stream:
                found = stream.read(len(header))
                stream.seek(size)
                checks, seal, rest = stream.read(count * _CHECK), stream.read(_SEAL), stream.read(1)
            if found != header or rest or hashlib.sha256(header + checks).digest() != seal:
                raise ValueError("its content does not match its checksum")
            self._items = np.memmap(path, dtype=np.uint8, mode="r", offset=len(header), shape=shape)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged or of an earlier version ({error})") from error
        self._checks = np.frombuffer(checks, dtype="<u4")
        self._known = np.zeros(count, dtype=bool)

    def item(self, index: int) -> NDArray[np.uint8] | None:
        """An item, read-only; None where it is not what was written."""
        item = np.asarray(self._items[index])
        if not self._known[index]:
            if zlib.crc32(item.data) != self._checks[index]:
                return None
            self._known[index] = True
        return item


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()
