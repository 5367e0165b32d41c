"""Label masks drawn in colours: a colour is a class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from acclimate.data.readers.archives import Place
from acclimate.data.readers.files import Ids, opened
from acclimate.errors import UserError

Colour = tuple[int, int, int]

COLOURS = "colours"
"""In place of ids in a ``dataset.yaml``: masks are drawn in the colours of the classes."""


def parsed_colour(text: str) -> Colour:
    """``#804080`` as its red, green and blue, 0-255.

    Raises:
        ValueError: it is not of that form.
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError(f'ids: {text!r} is neither a number nor a colour; write colours as "#804080", with quotes')
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:], 16)


class ColourTable:
    """Colours to their positions in a list.

    Args:
        colours: the colours that masks may hold, RGB 0-255, each once.
    """

    def __init__(self, colours: Sequence[Colour]) -> None:
        packed = np.array([red << 16 | green << 8 | blue for red, green, blue in colours], dtype=np.uint32)
        self._order = np.argsort(packed).astype(np.uint16)
        self._sorted = packed[self._order]

    def ids(self, path: Place, *, spec: str) -> Ids:
        """Position in the list of every pixel's colour, shape (H, W); palette pictures are read by their colours.

        Raises:
            UserError: the file is missing, damaged, lossy or holds a colour that is not in the list; names all of them.
        """
        with opened(path) as picture:
            if picture.format == "JPEG":
                raise UserError(f"{path} is a JPEG, whose colours are not exact; masks must be PNG")
            if picture.mode.startswith(("I", "F")):
                raise UserError(f"{path} has mode {picture.mode}; masks drawn in colours are RGB or palette pictures")
            pixels = np.array(picture.convert("RGB"), dtype=np.uint32)
        packed = (pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)).astype(np.uint32)
        places = np.minimum(np.searchsorted(self._sorted, packed), len(self._sorted) - 1)
        wrong = self._sorted[places] != packed
        if wrong.any():
            strange = [f"#{value:06x}" for value in np.unique(packed[wrong]).tolist()]
            more = f" and {len(strange) - 10} more" if len(strange) > 10 else ""
            raise UserError(
                f"{path} holds the colour{'s' * (len(strange) > 1)} {', '.join(strange[:10])}{more}, which this data "
                "set does not define; mend the file, or add them under ids (as void, if they are no class); "
                f"`acclimate check {spec}` lists every such file"
            )
        ids: Ids = self._order[places]
        return ids
