"""Classes and colours as labelling programs list them: CVAT's ``labelmap.txt``, CamVid's ``label_colors.txt``."""

from __future__ import annotations

import re

from acclimate.data.readers.archives import Place
from acclimate.errors import UserError
from acclimate.io.reading import text_of

SUFFIX = ".txt"
NO_CLASS = ("background", "void", "ignore", "unlabeled", "unlabelled", "unknown", "none")
"""What exports call the pixels that nobody labelled."""
_CVAT = re.compile(r"(?P<name>[^:#]+):\s*(?P<colour>\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3})(:.*)?")
_CAMVID = re.compile(r"(?P<colour>\d{1,3}\s+\d{1,3}\s+\d{1,3})\s+(?P<name>\S.*)")


def read_label_map(path: Place) -> dict[str, str]:
    """Name -> colour as ``#804080``, in the file's order; lines are ``name:r,g,b:parts:actions`` or ``r g b name``.

    Raises:
        UserError: the file is missing, a line is neither, or a name is there twice.
    """
    if not path.is_file():
        raise UserError(f"there is no list of classes {path}")
    found: dict[str, str] = {}
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not (line := line.strip()) or line.startswith("#"):
            continue
        match = _CVAT.fullmatch(line) or _CAMVID.fullmatch(line)
        values = [int(value) for value in re.split(r"[,\s]+", match["colour"])] if match else [256]
        if match is None or max(values) > 255:
            raise UserError(f"{path}, line {number}: {line!r} is neither 'name:r,g,b' nor 'r g b name'")
        if (name := match["name"].strip()) in found:
            raise UserError(f"{path} lists {name!r} twice")
        found[name] = "#{:02x}{:02x}{:02x}".format(*values)
    if not found:
        raise UserError(f"{path} lists no class")
    return found


def is_no_class(name: str) -> bool:
    """Whether a name of a list stands for pixels without a class."""
    return name.lower().strip("_") in NO_CLASS
