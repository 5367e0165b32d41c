"""MXNet's files of parameters (``.params``): arrays one after another, then their names; all numbers little endian.

The format is that of ``NDArray::Save`` in apache/mxnet (``src/ndarray/ndarray.cc``), in its four versions. A file says
of everything how long it is; each such number is compared with the bytes that are left before memory is taken for it.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acclimate.errors import UserError

_FIRST = struct.pack("<Q", 0x112)
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_KINDS = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")
"""NumPy's names of the kinds of values, by MXNet's type flag."""

_MOST_ARRAYS = 100_000
_MOST_DIMENSIONS = 32
# number of dimensions, one of them, device, its number, type flag, one value; and later an empty name
_LEAST_BYTES = 4 + 4 + 4 + 4 + 4 + 1 + 8
_PREFIXES = ("arg:", "aux:")


def is_mxnet(path: Path) -> bool:
    """Whether a file begins as MXNet's files of arrays do; its name does not matter."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(_FIRST) + 1)
    except OSError:
        return False
    # a safetensors file whose header has 0x112 bytes begins with the same number, and goes on with JSON
    return beginning[: len(_FIRST)] == _FIRST and beginning[len(_FIRST) :] != b"{"


def read_mxnet(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that ``mxnet.nd.save`` wrote, by name, on the CPU, in the kind of number they have there.

    The prefixes ``arg:`` and ``aux:``, which tell weights from running statistics, are taken off. Convolutions keep
    their order (out, in, height, width), which is PyTorch's. Nothing in the file is run, and no more memory is taken
    than the file has bytes (and little more than its tensors need).

    Raises:
        UserError: the file is cut short, damaged or too long; its arrays are sparse, empty, without names, or two have
            the same name; or it cannot be read at all.
    """
    try:
        with open(path, "rb") as file:
            return _tensors(_Source(file, path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the disk, or copy the file again") from error


class _Source:
    """The rest of a file.

    Attributes:
        path: of the file.
        at: the next byte's number, from 0.
        left: how many bytes are left.
    """

    def __init__(self, file: BufferedReader, path: Path) -> None:
        self._file, self.path = file, path
        self.at, self.left = 0, os.fstat(file.fileno()).st_size

    def take(self, length: int, what: str) -> bytearray:
        """The next ``length`` bytes.

        Raises:
            UserError: fewer are left; nothing has been allocated then.
        """
        if length > self.left:
            raise self.damaged(f"{what} would take {length:,} bytes, but only {self.left:,} are left")
        content = bytearray(length)
        if self._file.readinto(content) != length:
            raise self.damaged(f"{what} is incomplete")
        self.at += length
        self.left -= length
        return content

    def number(self, form: str, what: str) -> int:
        """The next number, of a kind that :mod:`struct` names."""
        form = f"<{form}"
        (value,) = struct.unpack(form, self.take(struct.calcsize(form), what))
        return int(value)

    def damaged(self, problem: str, *, at: int | None = None) -> UserError:
        """The error for a file that is not what MXNet wrote, at byte ``at`` or here."""
        at = self.at if at is None else at
        return UserError(
            f"{self.path} is a damaged file of MXNet's parameters: at byte {at:,}, {problem}; download it again"
        )


def _tensors(source: _Source) -> dict[str, Tensor]:
    source.take(len(_FIRST), "the beginning")
    if reserved := source.number("Q", "the reserved number"):
        raise source.damaged(f"the reserved number is {reserved:#x} instead of 0", at=len(_FIRST))
    count = source.number("Q", "the number of arrays")
    if count > _MOST_ARRAYS or count * _LEAST_BYTES > source.left:
        raise source.damaged(f"{count:,} arrays are announced, with {source.left:,} bytes left for them", at=16)
    tensors = [_array(source, f"array {number} of {count}") for number in range(1, count + 1)]
    at = source.at
    names = source.number("Q", "the number of names")
    if count and not names:
        raise UserError(f"{source.path}: its {count} arrays have no names; save them as a dictionary of name and array")
    if names != count:
        raise source.damaged(f"{names:,} names are announced for {count} arrays", at=at)
    named = _named((_name(source, number) for number in range(1, count + 1)), tensors, source)
    if source.left:
        raise source.damaged(f"{source.left:,} bytes follow the last name")
    if not named:
        raise UserError(f"{source.path} holds no weights: a file of MXNet's parameters with no array in it")
    return named


def _array(source: _Source, which: str) -> Tensor:
    """The next array; files of 2016 (V0) have the number of dimensions where later ones have their version."""
    at = source.at
    version = source.number("I", f"the version of {which}")
    if version in (_V2, _V3) and (storage := source.number("i", f"the storage of {which}")):
        raise UserError(
            f"{source.path}: {which}, at byte {at:,}, is sparse (storage type {storage}), and only dense arrays are "
            "weights; convert it with tostype('default') in MXNet, or download the file again"
        )
    shape = _shape(source, version, which)
    # where the array was when it was saved: 4 bytes of the kind of device, 4 of its number
    source.take(8, f"the device of {which}")
    at = source.at
    flag = source.number("i", f"the type of {which}")
    if not 0 <= flag < len(_KINDS):
        raise source.damaged(f"{which} has values of the unknown type {flag} (known: 0 to {len(_KINDS) - 1})", at=at)
    kind = np.dtype(_KINDS[flag])
    content = source.take(math.prod(shape) * kind.itemsize, f"{which}, of shape {shape},")
    # NumPy's own byte order is PyTorch's too; where it is little endian nothing is copied
    return torch.from_numpy(np.frombuffer(content, kind).astype(kind.newbyteorder("="), copy=False)).reshape(shape)


def _shape(source: _Source, version: int, which: str) -> tuple[int, ...]:
    at = source.at
    if version in (_V1, _V2, _V3):
        dimensions = source.number("i", f"the number of dimensions of {which}")
        form = "q"
    else:
        at, dimensions, form = at - 4, version, "I"
    if dimensions == (-1 if version == _V3 else 0):
        raise source.damaged(f"{which} is empty, and weights are not", at=at)
    if not 0 <= dimensions <= _MOST_DIMENSIONS:
        raise source.damaged(f"{which} has {dimensions:,} dimensions, more or fewer than arrays can have", at=at)
    at = source.at
    shape = tuple(source.number(form, f"the shape of {which}") for _ in range(dimensions))
    if any(size < 1 for size in shape):
        raise source.damaged(f"{which} has the impossible shape {shape}", at=at)
    return shape


def _name(source: _Source, number: int) -> str:
    length = source.number("Q", f"the length of name {number}")
    at = source.at
    content = source.take(length, f"name {number}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise source.damaged(f"name {number} is no text in UTF-8", at=at + error.start) from error


def _named(names: Iterable[str], tensors: list[Tensor], source: _Source) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, tensor in zip(names, tensors, strict=True):
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        bare = name.removeprefix(prefix)
        if bare in named:
            raise source.damaged(f"a second array is called {bare!r}")
        named[bare] = tensor
    return named
