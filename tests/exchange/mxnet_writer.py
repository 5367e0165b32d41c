"""Writes MXNet's files of arrays piece by piece, from the format's description alone: no code of the reader is used."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

VERSIONS = {0: b"", 1: b"\xc8\xfa\x93\xf9", 2: b"\xc9\xfa\x93\xf9", 3: b"\xca\xfa\x93\xf9"}
FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
Array = np.ndarray[Any, Any]


def array_bytes(array: Array, version: int) -> bytes:
    """One dense array, of device 1 (the processor), number 0."""
    head = VERSIONS[version] + (struct.pack("<i", 0) if version >= 2 else b"")
    shape = struct.pack(f"<I{array.ndim}{'I' if version == 0 else 'q'}", array.ndim, *array.shape)
    flag = FLAGS[array.dtype.name]
    return head + shape + struct.pack("<iii", 1, 0, flag) + array.astype(array.dtype.newbyteorder("<")).tobytes()


def file_bytes(arrays: Mapping[str, Array], version: int) -> bytes:
    """A file of arrays by name, which are written as they are."""
    names = [name.encode() for name in arrays]
    return b"".join(
        [
            struct.pack("<QQQ", 0x112, 0, len(arrays)),
            *(array_bytes(array, version) for array in arrays.values()),
            struct.pack("<Q", len(names)),
            *(struct.pack("<Q", len(name)) + name for name in names),
        ]
    )
