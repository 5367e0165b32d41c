"""Files of tensors that vouch for themselves: safetensors with a card in the header, and in the card a checksum.

Written tensor by tensor, so that nothing is in memory twice; the bytes are those of the safetensors library.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from acclimate.errors import UserError
from acclimate.io.checksums import bytes_of, digest_of
from acclimate.io.files import atomic
from acclimate.io.reading import parsed_json

log = logging.getLogger(__name__)

DIGEST = "sha256"
"""The card's entry that holds the checksum of all else in it and of the tensors."""

_TYPES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The format's names of PyTorch's types, in the order in which the library lays tensors out."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, key: str, card: Mapping[str, Any]) -> None:
    """Writes tensors and what there is to know about them to one safetensors file, atomically.

    Args:
        path: the file.
        tensors: on any device and in any memory format.
        key: the one entry of the header's metadata. One alone: the order of several would differ between files.
        card: what that entry holds, as JSON, beside the checksum.

    Raises:
        UserError: the file cannot be written.
    """
    content = dict(card)
    content[DIGEST] = _digest(key, content, tensors)
    header: dict[str, Any] = {"__metadata__": {key: json.dumps(content)}}
    types = list(_TYPES)
    ordered = sorted(tensors, key=lambda name: (types.index(tensors[name].dtype), name))
    offset = 0
    for name in ordered:
        tensor, size = tensors[name], tensors[name].numel() * tensors[name].element_size()
        kind = _TYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic(Path(path)) as temporary, open(temporary, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)))
        stream.write(text)
        for name in ordered:
            stream.write(bytes_of(tensors[name]))


def read_tensors_with_card(path: Path, *, key: str, remedy: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What :func:`write_tensors` wrote: the card and the tensors, on the CPU.

    Args:
        path: the file.
        key: the entry of the header that holds the card.
        remedy: what to do about a damaged file, for the message.

    Raises:
        UserError: the file is missing, of another program, without a checksum, or not what was written.
    """
    card, tensors = read_unverified(path, key=key, remedy=remedy)
    wanted = card.pop(DIGEST, None)
    if wanted != _digest(key, card, tensors):
        what = "holds no checksum" if wanted is None else "does not match its checksum"
        raise UserError(f"{path}: its content {what}; it was damaged after it was written: {remedy}")
    return card, tensors


def remembered(path: Path, *, key: str) -> dict[str, Tensor] | None:
    """The tensors of a file that can be made again: None where there is none, or where it is damaged, which is told."""
    if not Path(path).is_file():
        return None
    try:
        return read_tensors_with_card(path, key=key, remedy="it is made again")[1]
    except UserError as error:
        log.info("%s", error)
        return None


def read_unverified(path: Path, *, key: str, remedy: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The card, its checksum included, and the tensors of a file, as they are.

    Raises:
        UserError: the file is missing, truncated, or without such a card.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            card = parsed_json((file.metadata() or {})[key])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
        if not isinstance(card, dict):
            raise ValueError("its card is no mapping")
    except (SafetensorError, OSError, LookupError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or of another program ({error}): {remedy}") from error
    return card, tensors


def matches(key: str, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    """Whether card and tensors are what was written, by the checksum in the card."""
    rest = {name: value for name, value in card.items() if name != DIGEST}
    return bool(card.get(DIGEST) == _digest(key, rest, tensors))


def _digest(key: str, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    return digest_of({key: json.dumps(card, sort_keys=True)}, tensors)
