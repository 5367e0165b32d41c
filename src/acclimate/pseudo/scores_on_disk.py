"""What a network said of every image, kept on disk between the two passes of labelling so that it is asked once.

A file per image, without any waiting for the disk: one that is missing or damaged only means that the network sees
that image again.
"""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

log = logging.getLogger(__name__)

_CHECKSUM = 4
"""Bytes of the CRC-32 at the end of a file."""


class ScoresOnDisk:
    """Tensors by the number of their image, up to a bound in bytes.

    Args:
        folder: of nothing else; made when it is needed.
        limit: bytes at most; never more than half of what is free on that disk.
        processes: that write into the folder, with the same part of the bound each.
    """

    def __init__(self, folder: Path, *, limit: int, processes: int = 1) -> None:
        self.folder = folder
        self._used = sum(path.stat().st_size for path in folder.glob("*.scores"))
        existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
        self._limit = min(limit, self._used + shutil.disk_usage(existing).free // 2) // processes
        self._used //= processes

    def fits(self, parts: Mapping[str, Tensor], *, images: int) -> bool:
        """Whether tensors of this size of so many images can be kept."""
        return images * _bytes(parts) <= self._limit

    def write(self, number: int, parts: Mapping[str, Tensor]) -> None:
        """Keeps an image's tensors, unless the bound is reached or the disk refuses."""
        if self._used + _bytes(parts) > self._limit:
            return
        content = safetensors.torch.save({name: part.cpu().contiguous() for name, part in parts.items()})
        path = self._path(number)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            before = path.stat().st_size if path.exists() else 0
            with open(temporary, "wb") as stream:
                stream.write(content)
                stream.write(zlib.crc32(content).to_bytes(_CHECKSUM, "little"))
            os.replace(temporary, path)
        except OSError as error:
            log.warning("scores are not kept on disk any more, images are predicted twice: %s", error)
            temporary.unlink(missing_ok=True)
            self.remove()
            self._limit = 0
            return
        self._used += len(content) + _CHECKSUM - before

    def has(self, number: int) -> bool:
        """Whether an image's tensors are kept."""
        return self._path(number).is_file()

    def read(self, number: int) -> dict[str, Tensor] | None:
        """An image's tensors; None where they are not kept or damaged."""
        try:
            whole = memoryview(self._path(number).read_bytes())
            content, checksum = whole[:-_CHECKSUM], whole[-_CHECKSUM:]
            if zlib.crc32(content) != int.from_bytes(checksum, "little"):
                return None
            found: dict[str, Tensor] = safetensors.torch.load(bytes(content))
            return found
        except (OSError, safetensors.SafetensorError):
            return None

    def remove(self) -> None:
        """Removes everything that is kept."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._used = 0

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.scores"


def _bytes(parts: Mapping[str, Tensor]) -> int:
    return sum(part.numel() * part.element_size() for part in parts.values())
