"""Content that vouches for itself: a checksum travels with what it covers, so that a flipped bit is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.io.files import read_json, write_json


def digest_of(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over texts and tensors, their names, types and shapes, in hexadecimal; order does not matter."""
    digest = hashlib.sha256()
    for key, text in sorted(texts.items()):
        digest.update(json.dumps([key, text]).encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_verified_json(path: Path, content: Any) -> None:
    """Writes ``content`` with its checksum, atomically."""
    write_json(path, {"sha256": _digest(content), "content": content})


def read_verified_json(path: Path) -> Any:
    """What :func:`write_verified_json` wrote.

    Raises:
        UserError: the file is missing, no JSON, or not what was written.
    """
    whole = read_json(path)
    if not isinstance(whole, dict) or "content" not in whole or whole.get("sha256") != _digest(whole["content"]):
        raise UserError(f"{path}: its content does not match its checksum; it is damaged or of another program")
    return whole["content"]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
