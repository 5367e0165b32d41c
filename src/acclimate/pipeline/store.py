"""The store of finished stages: each is identified by the hash of all it depends on and is done once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from acclimate.errors import UserError
from acclimate.io.checksums import broken, digests_in, read_verified_json, write_verified_json
from acclimate.io.files import hash_of, locked, remove_leftovers, write_json

log = logging.getLogger(__name__)

DONE = "done.json"
_PRODUCTS = "files"
_LAST = ("manifest.json", "translation.json")
"""What says inside a stage that its work is complete."""
STAGE_FORMAT = 2
"""Raised when a stage's meaning changes, so that results of the older meaning are not taken for the new one's."""


class Store:
    """A folder with one sub-folder per stage, ``VERB-HASH``.

    ``stage.json`` in it says what identifies the stage; ``done.json`` appears last and says what it cost.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, verb: str, identity: dict[str, Any]) -> str:
        """The name of the stage that ``identity`` describes."""
        return f"{verb}-{hash_of({'format': STAGE_FORMAT, 'verb': verb, **identity})}"

    def folder(self, key: str) -> Path:
        """Where that stage is, or will be."""
        return self.root / key

    def has(self, key: str) -> bool:
        """Whether that stage was finished once; what it left is not looked at, as :meth:`finished` does."""
        return (self.folder(key) / DONE).is_file()

    def finished(self, key: str) -> dict[str, Any] | None:
        """The summary of a finished stage; None while it is not, or where a file it left is gone or damaged."""
        folder = self.folder(key)
        if not (folder / DONE).exists():
            return None
        summary, damaged = _looked_at(folder)
        if damaged:
            log.warning("%s of %s is gone or damaged; the stage is done again", ", ".join(damaged), folder)
            return None
        return summary

    @contextmanager
    def working_on(self, key: str, identity: dict[str, Any]) -> Iterator[Path]:
        """The stage's folder, held so that no second process works on the same stage.

        Raises:
            UserError: another process is working on it, or the folder cannot be made.
        """
        folder = self.folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {folder}: {error.strerror}; choose another folder with -o") from error
        with _locked(folder / "lock") as free:
            if not free:
                raise UserError(
                    f"another process is working on {folder}; wait for it to end (its result will be reused), "
                    "or give this run another store with --store"
                )
            remove_leftovers(folder)
            _remove_damaged(folder)
            write_json(folder / "stage.json", identity)
            yield folder

    def finish(self, key: str, summary: dict[str, Any], products: Sequence[str] = ()) -> None:
        """Marks a stage as finished, with the checksums of its products, what it leaves to later ones."""
        write_verified_json(self.folder(key) / DONE, {**summary, _PRODUCTS: digests_in(self.folder(key), products)})


def _looked_at(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The summary of a stage that says it is done, and which of its files are not as it left them."""
    try:
        summary = read_verified_json(folder / DONE)
        return summary, broken(folder, summary.pop(_PRODUCTS, {}))
    except UserError:
        return {}, [DONE]


def _remove_damaged(folder: Path) -> None:
    """Forgets that a stage was done, where what it left is no longer whole; only under the stage's lock."""
    if not (folder / DONE).exists():
        return
    if damaged := _looked_at(folder)[1]:
        # first what says that it is done: killed in between, the rest would be taken for whole
        for name in (DONE, *damaged, *_LAST):
            (folder / name).unlink(missing_ok=True)


def held(stage: Path) -> AbstractContextManager[bool]:
    """Holds a stage's folder that exists; gives whether nobody else is working on it."""
    return _locked(stage / "lock")


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Holds an advisory lock on ``path``; yields whether it could be had. Released when the process ends, however."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder with -o") from error
    try:
        yield locked(handle)
    finally:
        os.close(handle)


def link(path: Path, target: Path) -> None:
    """Makes ``path`` a relative symbolic link to the folder ``target``, replacing an older link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.path.relpath(target, path.parent)
    if path.is_symlink():
        if os.readlink(path) == wanted:
            return
        path.unlink()
    elif path.exists():
        raise UserError(f"{path} exists and is not a link made by acclimate; choose another output folder with -o")
    try:
        path.symlink_to(wanted, target_is_directory=True)
    except OSError as error:
        raise UserError(
            f"cannot make the link {path} to {target}: {error.strerror}; "
            "choose a folder on a file system that has symbolic links with -o"
        ) from error
