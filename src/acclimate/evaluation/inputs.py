"""What a model is asked about: pictures, folders, lists, patterns, videos and cameras, as a user names them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.data.readers.files import IMAGE_SUFFIXES
from acclimate.data.readers.listing import found
from acclimate.errors import UserError
from acclimate.io.outputs import claim_folder
from acclimate.io.reading import text_of
from acclimate.io.video import VIDEO_SUFFIXES

log = logging.getLogger(__name__)

LIST_SUFFIX = ".txt"
_READ = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
_WILD = "*?["


@dataclass(frozen=True)
class Input:
    """A picture, a video or a camera.

    Attributes:
        place: its file; the number of a camera.
        name: what its prediction is called, folders included.
    """

    place: Path | int
    name: str

    @property
    def is_picture(self) -> bool:
        """Whether it is a single picture."""
        return isinstance(self.place, Path) and self.place.suffix.lower() not in VIDEO_SUFFIXES


def inputs_named(given: Sequence[str | Path], output: Path, *, claim: bool = True) -> list[Input]:
    """Everything that is predicted; claims ``output`` for it.

    Args:
        given: each a picture or video, a folder (searched with its sub-folders, whose names are kept), a pattern with
            ``*``, ``?`` or ``**``, a text file that names one of those files a line, or the number of a camera.
        output: the folder to write to.
        claim: whether to make sure that it is for predictions; of several processes, one does.

    Raises:
        UserError: one does not exist or holds nothing that is read, two have the same name, or ``output`` lies among
            them.
    """
    inputs: list[Input] = []
    reads: list[Path] = []
    for each in given:
        path = Path(each)
        if path.is_dir():
            inputs.extend(_in_folder(path))
            reads.append(path)
        elif path.exists() or not any(sign in str(each) for sign in _WILD):
            inputs.extend(_listed(path) if path.suffix.lower() == LIST_SUFFIX else [_single(path)])
            reads.append(path)
        else:
            inputs.extend(_matching(path))
    seen: dict[str, Path | int] = {}
    for one in inputs:
        if one.name in seen:
            raise UserError(
                f"two of the images are called {one.name} ({seen[one.name]} and {one.place}); predict them in two "
                "commands with different -o folders"
            )
        seen[one.name] = one.place
    reads.extend(one.place for one in inputs if isinstance(one.place, Path))
    if claim:
        claim_folder(output, "predict", reads=dict.fromkeys(reads))
    return inputs


def _single(path: Path) -> Input:
    if path.is_file():
        return Input(path, path.stem)
    if str(path).isdecimal():
        return Input(int(str(path)), f"camera-{path}")
    if str(path.parent).startswith(("http:", "https:", "rtsp:")):
        raise UserError(f"{path}: addresses are not read; download the file, or give the number of a camera")
    raise UserError(f"there is no image, video or folder {path}")


def _in_folder(folder: Path, pattern: str | None = None) -> list[Input]:
    files = found(folder, _READ, pattern=pattern)
    if files.faults:
        raise UserError(files.faults[0])
    for note in files.notes:
        log.warning("%s", note)
    if not len(files):
        what = f"{folder} holds no image" if pattern is None else f"nothing in {folder} fits {pattern}"
        raise UserError(f"{what} ({', '.join(_READ)})")
    return [Input(Path(str(entry)), name) for name, entry in files]


def _matching(pattern: Path) -> list[Input]:
    """What a pattern that the shell left alone stands for; names begin below its last folder without wildcards."""
    parts = pattern.parts
    wild = next(number for number, part in enumerate(parts) if any(sign in part for sign in _WILD))
    folder = Path(*parts[:wild]) if wild else Path()
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}, in which {'/'.join(parts[wild:])} is looked for")
    return _in_folder(folder, "/".join(parts[wild:]))


def _listed(path: Path) -> list[Input]:
    """The files that a text file names, one a line, from its own folder or the current one; ``#`` begins a remark."""
    if not path.is_file():
        raise UserError(f"there is no list {path}")
    lines = [line.strip() for line in text_of(path).splitlines()]
    inputs = []
    for line in (line for line in lines if line and not line.startswith("#")):
        place = next((each for each in (path.parent / line, Path(line)) if each.is_file()), None)
        if place is None:
            raise UserError(f"{path} names {line!r}, which is neither beside the list nor in the current folder")
        # a list of absolute paths is kept apart by file names alone
        name = Path(line).with_suffix("")
        inputs.append(Input(place, name.name if name.is_absolute() or ".." in name.parts else name.as_posix()))
    if not inputs:
        raise UserError(f"{path} names no image")
    return inputs
