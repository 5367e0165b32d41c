"""Content that vouches for itself: a checksum travels with what it covers, so that a flipped bit is seen."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.io.files import hash_of_file, read_json, write_json

log = logging.getLogger(__name__)

_ENTRY = "sha256"


def digest_of(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over texts and tensors, their names, types and shapes, in hexadecimal; order does not matter."""
    digest = hashlib.sha256()
    for key, text in sorted(texts.items()):
        digest.update(json.dumps([key, text]).encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's values in row-major order, without a copy where it lies so on the CPU already."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def write_verified_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes ``content`` with its checksum as a further entry, ``sha256``, atomically."""
    content = json.loads(json.dumps(content, allow_nan=False))  # as it will be read
    write_json(path, {**content, _ENTRY: _digest(content)})


def read_verified_json(path: Path, *, unsigned: bool = False) -> dict[str, Any]:
    """What :func:`write_verified_json` wrote.

    Args:
        path: the file.
        unsigned: take a file without a checksum as it is: an early version wrote it, or a person.

    Raises:
        UserError: the file is missing, no JSON, or not what was written.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged or of another program: it holds a {type(content).__name__}")
    wanted = content.pop(_ENTRY, None)
    if not (wanted is None and unsigned) and wanted != _digest(content):
        raise UserError(f"{path}: its content does not match its checksum; it is damaged or of another program")
    return content


def remembered_json(path: Path) -> dict[str, Any] | None:
    """What a file holds that can be made again: None where there is none, or where it is damaged, which is told."""
    if not Path(path).is_file():
        return None
    try:
        return read_verified_json(path)
    except UserError as error:
        log.info("%s: it is made again", error)
        return None


def digests_in(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> SHA-256 of those files that are there."""
    return {name: hash_of_file(folder / name) for name in names if (folder / name).is_file()}


def broken(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """Which of the files that :func:`digests_in` knew are gone or changed."""
    return [name for name, digest in digests.items() if digests_in(folder, [name]).get(name) != digest]


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
