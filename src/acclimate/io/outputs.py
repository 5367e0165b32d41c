"""The one rule for everything that is written where a user says: acclimate replaces and removes only what it wrote.

A folder for outputs is new, empty, or one of acclimate's own, which a file in it tells: the mark. A single file is new,
or one whose content tells that the same command wrote it before. And nothing is written into data that are read, nor
over any file that is. Listings of data leave out folders with the mark, so that outputs never become data.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from acclimate.errors import UserError
from acclimate.io.files import is_temporary, read_json, remove_leftovers, write_json
from acclimate.io.reading import parsed_json, stream_of, text_of

MARK = ".acclimate.json"
"""The file that says that acclimate made a folder for its outputs, and which command."""

FolderKind = Literal["run", "bench", "label", "translate", "predict", "frames", "store", "demo-data"]
FileKind = Literal["scores", "page", "picture", "weights", "program", "runner", "draft", "trace"]

PNG_ORIGIN = b"tEXtSoftware\x00acclimate"
"""How a PNG says that acclimate drew it."""
TRACE_ORIGIN = b'"acclimate": "profile"'
"""How a trace says that `acclimate profile` made it."""
_ORIGIN_LENGTH = 4096
_NOTES = (".log", ".out", ".err", ".txt", ".md", ".pid", ".sh", ".sbatch", ".slurm")
_NOTE_NAMES = ("log", "stdout", "stderr")
"""What people keep beside outputs, made by redirection before a command begins."""
_EARLIER: dict[FolderKind, tuple[str, ...]] = {
    "run": ("recipe.yaml", "environment.json"),
    "label": ("started.json",),
    "translate": ("identity.json",),
}
"""By which files a folder is known that a version without marks made."""
_STAGE = re.compile(r"[a-z]+-[0-9a-f]{16}|cache")


def claim_folder(folder: Path, kind: FolderKind, *, reads: Iterable[Path] = ()) -> None:
    """Makes a folder one of acclimate's outputs, or says why it cannot be; sweeps what killed commands left in it.

    Args:
        folder: what ``-o`` or ``--store`` names.
        kind: the command that writes there.
        reads: the files and folders that the command reads.

    Raises:
        UserError: it holds something else, is another command's, or lies within or around what is read.
    """
    _refuse_name(folder)
    home = Path(os.path.realpath(folder))
    for read in _resolved(reads):
        if home == read or (read.is_dir() and read in home.parents):
            raise UserError(
                f"{folder} lies within data that are read ({read}): outputs would become data; choose another folder"
            )
        if home in read.parents:
            raise UserError(
                f"{folder} holds what is read ({read}), and outputs do not mix with inputs; choose another folder"
            )
    if home.exists() and not home.is_dir():
        raise UserError(f"{folder} is a file, but a folder is written here; choose another place")
    maker = made_by(home)
    if maker is None:
        if (stranger := _stranger(home, kind)) is not None:
            raise UserError(
                f"{folder} already holds files that acclimate did not write there ({stranger.name}, for instance), and "
                "none of them is ever replaced; choose a new or an empty folder"
            )
        write_json(home / MARK, {"program": "acclimate", "version": version("acclimate"), "kind": kind})
    elif maker != kind:
        raise UserError(f"{folder} holds what `acclimate {maker}` wrote; choose another folder for {kind}")
    remove_leftovers(home, deep=kind in ("label", "translate", "predict", "frames"))


def claim_file(path: Path, kind: FileKind, *, reads: Iterable[Path] = ()) -> None:
    """Says why a single file cannot be written, if it cannot; sweeps what a killed command left of it.

    Args:
        path: what ``-o`` or an option names.
        kind: what is written.
        reads: the files and folders that the command reads.

    Raises:
        UserError: the file exists and is not one that the same command wrote, or lies within data that are read.
    """
    _refuse_name(path)
    home = Path(os.path.realpath(path))
    for read in _resolved(reads):
        if home == read:
            raise UserError(f"{path} is read by this command; choose another name to write to")
        if read.is_dir() and read in home.parents:
            raise UserError(f"{path} lies within data that are read ({read}); choose another place to write to")
    if os.path.lexists(path):
        if not home.is_file():
            raise UserError(f"{path} is no ordinary file; choose another name to write to")
        if not _recognised(home, kind):
            raise UserError(
                f"{path} exists and is no {_NAMES[kind]} that this command wrote before, so it is not replaced; choose "
                "another name"
            )
    if home.parent.is_dir():
        remove_leftovers(home.parent, deep=False)


DRAFT = "# drafted by acclimate"
"""How the first line of a draft begins; what follows vouches for the rest, so that an edited one is known."""


def signed_draft(body: str) -> str:
    """A text (of lines that begin with ``#``, and YAML) that people may edit: it is only replaced until they do."""
    return f"{DRAFT}, {_signature(body)}\n{body}"


def is_untouched_draft(text: str) -> bool:
    """Whether a text is a draft that nobody has edited."""
    first, _, body = text.partition("\n")
    return first == f"{DRAFT}, {_signature(body)}"


def _signature(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _resolved(reads: Iterable[Path]) -> list[Path]:
    return [Path(os.path.realpath(read)) for read in reads]


def _refuse_name(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{str(path)!a} is a name that is not UTF-8; choose another one to write to") from None


def made_by(folder: Path) -> str | None:
    """The command that made a folder, by its mark; None where there is none."""
    if not os.path.lexists(folder / MARK):
        return None
    content = read_json(folder / MARK)
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str):
        raise UserError(
            f"{folder / MARK} is damaged; delete it if all in that folder may be replaced, or choose another"
        )
    return kind


def _stranger(folder: Path, kind: FolderKind) -> Path | None:
    """A file that keeps a folder without a mark from becoming one for outputs; None where there is none."""
    if not folder.is_dir():
        return None
    if kind in _EARLIER and all((folder / name).is_file() for name in _EARLIER[kind]):
        return None
    if kind == "store":
        # a process killed while it wrote the mark leaves half of it, which is swept once the folder is claimed
        strangers = (entry for entry in sorted(folder.iterdir()) if not _STAGE.fullmatch(entry.name))
        return next((entry for entry in strangers if not is_temporary(entry.name)), None)
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            note = name.startswith(".") or name in _NOTE_NAMES or name.lower().endswith(_NOTES)
            if not note:
                return Path(where, name)
    return None


def _recognised(path: Path, kind: FileKind) -> bool:
    try:
        return _RECOGNISERS[kind](path)
    except (OSError, ValueError, AttributeError, TypeError, struct.error, zipfile.BadZipFile):
        return False


def _is_scores(path: Path) -> bool:
    # a run's own results are not for single commands to replace
    if (path.parent / MARK).exists():
        return False
    content = read_json(path)
    return isinstance(content, dict) and content.get("schema") == 1 and isinstance(content.get("rows"), list)


def _is_page(path: Path) -> bool:
    return b'<meta name="generator" content="acclimate">' in _beginning(path)


def _is_picture(path: Path) -> bool:
    return PNG_ORIGIN in _beginning(path)


def _is_weights(path: Path) -> bool:
    with stream_of(path) as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = parsed_json(stream.read(length)) if length < 100_000_000 else {}
    entries = header.get("__metadata__", {})
    card = parsed_json(entries.get("acclimate", entries.get("acclimate-weights", "{}")))
    return str(card.get("note") or "").startswith("imported from ")


def _is_program(path: Path) -> bool:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("extra/acclimate") for name in archive.namelist())
    # the metadata of ONNX stands behind the weights, its key right before our card
    with stream_of(path) as stream:
        stream.seek(max(0, os.path.getsize(path) - 1_000_000))
        return re.search(rb"\x0a\x09acclimate\x12.{1,4}\{", stream.read(), re.DOTALL) is not None


def _is_runner(path: Path) -> bool:
    return _beginning(path).startswith(b'"""Runs an exported model with numpy, Pillow and onnxruntime alone')


def _is_trace(path: Path) -> bool:
    # what identifies the writer stands before the events or behind them
    with stream_of(path) as stream:
        beginning = stream.read(_ORIGIN_LENGTH)
        stream.seek(max(0, os.path.getsize(path) - _ORIGIN_LENGTH))
        return TRACE_ORIGIN in beginning or TRACE_ORIGIN in stream.read()


def _is_draft(path: Path) -> bool:
    return is_untouched_draft(text_of(path))


def _beginning(path: Path) -> bytes:
    with stream_of(path) as stream:
        return stream.read(_ORIGIN_LENGTH)


_RECOGNISERS: dict[FileKind, Callable[[Path], bool]] = {
    "scores": _is_scores,
    "page": _is_page,
    "picture": _is_picture,
    "weights": _is_weights,
    "program": _is_program,
    "runner": _is_runner,
    "draft": _is_draft,
    "trace": _is_trace,
}
_NAMES: dict[FileKind, str] = {
    "scores": "file of scores",
    "page": "page",
    "picture": "picture of spatial priors",
    "weights": "import",
    "program": "export",
    "runner": "program for an export",
    "draft": "untouched draft",
    "trace": "trace",
}
