"""Checkpoints of a run in progress: everything a method owns, whole or absent, verified when read."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO

import torch

from acclimate.errors import UserError
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.io.files import atomic, hash_of_file, remove_leftovers

log = logging.getLogger(__name__)

KEPT = 2
"""How many checkpoints stay on disk: the newest, and one to fall back on should the newest be damaged."""

_NAME = re.compile(r"state-(\d+)\.pt")
_DAMAGE = (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, AttributeError, pickle.UnpicklingError)
"""What reading a damaged or foreign file can raise."""


class Checkpoints:
    """The checkpoints of one training stage, ``state-STEP.pt`` with a ``state-STEP.json`` that vouches for it.

    The state holds tensors and numbers only and is read with ``weights_only=True``: nothing in it can run code. The
    JSON holds its SHA-256 and is written after it, so that a state without one was never finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes the state reached after ``step`` steps and forgets all but the newest ones."""
        remove_leftovers(self.folder, deep=False)
        path = self.folder / f"state-{step:08d}.pt"
        path.with_suffix(".json").unlink(missing_ok=True)
        with atomic(path) as temporary, open(temporary, "wb") as stream:
            digest = _Digest(stream)
            try:
                torch.save({"step": step, **state}, digest)  # type: ignore[arg-type]  # it needs no more of a file
            except RuntimeError:
                if digest.failure is not None:  # PyTorch tells of what follows from it
                    raise digest.failure from None
                raise
        write_verified_json(path.with_suffix(".json"), {"step": step, "state": digest.hexadecimal()})
        states = self._states()
        later = [old for old in states if _step(old) > step]  # training got here again because they are damaged
        earlier = [old for old in states if _step(old) <= step]
        for old in later + earlier[:-KEPT]:
            _remove(old)

    def newest(self) -> dict[str, Any] | None:
        """The newest state that is whole, or None where there is none; damaged ones are named in a warning."""
        for path in reversed(self._states()):
            try:
                wanted = read_verified_json(path.with_suffix(".json"))["state"]
                if hash_of_file(path) != wanted:
                    raise UserError("its content does not match its checksum")
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                if state["step"] != _step(path):
                    raise UserError(f"it holds step {state['step']}")
                return state
            except _DAMAGE as error:
                log.warning("checkpoint %s is damaged and is not used (%s)", path, error)
        return None

    def clear(self) -> None:
        """Removes every state: the stage is finished and its result is elsewhere."""
        for path in self._states():
            _remove(path)

    def _states(self) -> list[Path]:
        return sorted((path for path in self.folder.glob("state-*.pt") if _NAME.fullmatch(path.name)), key=_step)


class _Digest:
    """Where a state is written to: it goes on to the file, and its SHA-256 is known at the end without a second look.

    Nothing of the state is held back, so that saving needs no more memory than the largest tensor.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._digest = stream, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, part: bytes) -> int:
        self._digest.update(part)
        try:
            return self._stream.write(part)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self._stream.flush()

    def hexadecimal(self) -> str:
        return self._digest.hexdigest()


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _remove(path: Path) -> None:
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
