"""Label masks drawn in colours: a colour is a class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from acclimate.data.readers.archives import Place
from acclimate.data.readers.files import Ids, Notice, UnknownValues, refuse_lossy, refuse_several
from acclimate.errors import UserError
from acclimate.io.images import alpha, has_16_bits, opened, upright

Colour = tuple[int, int, int]

COLOURS = "colours"
"""In place of ids in a ``dataset.yaml``: masks are drawn in the colours of the classes."""


def parsed_colour(text: str) -> Colour:
    """``#804080`` as its red, green and blue, 0-255.

    Raises:
        ValueError: it is not of that form.
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text, re.ASCII):
        raise ValueError(f'ids: {text!r} is neither a number nor a colour; write colours as "#804080", with quotes')
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:], 16)


class ColourTable:
    """Colours to their positions in a list.

    Args:
        colours: the colours that masks may hold, RGB 0-255, each once.
        others: whether other colours are no error: their pixels get the number that transparent ones get.
    """

    def __init__(self, colours: Sequence[Colour], *, others: bool = False) -> None:
        self.nothing, self.others = len(colours), others
        """The number of pixels without a colour: transparent ones."""
        packed = np.array([red << 16 | green << 8 | blue for red, green, blue in colours], dtype=np.uint32)
        self._order = np.argsort(packed).astype(np.uint16)
        self._sorted = packed[self._order]

    def ids(self, path: Place, *, spec: str, notice: Notice | None = None) -> Ids:
        """Position in the list of every pixel's colour, shape (H, W); palette pictures are read by their colours.

        Pixels that are wholly transparent have no colour and get :attr:`nothing`, whatever lies under them.

        Raises:
            UserError: the file is missing, damaged, lossy, of 16 bits per channel or partly transparent.
            UnknownValues: it holds a colour that is not in the list; names all of them.
        """
        with opened(path, whole=True) as picture:
            refuse_lossy(picture, path)
            if has_16_bits(picture):
                raise UserError(
                    f"{path} has 16 bits per channel (mode {picture.mode}), but colours are named with 8; save it as "
                    "8-bit RGB"
                )
            if picture.mode not in ("RGB", "RGBA", "P", "PA", "L", "LA", "1"):
                raise UserError(f"{path} has mode {picture.mode}; masks drawn in colours are RGB or palette pictures")
            picture = upright(picture)
            opacity = alpha(picture)
            pixels = np.array(picture.convert("RGB"), dtype=np.uint32)
            refuse_several(picture, path)
        erased = np.zeros(pixels.shape[:2], dtype=bool) if opacity is None else opacity == 0
        if opacity is not None and not (erased | (opacity == 255)).all():
            raise UserError(
                f"{path} has pixels that are partly transparent: smoothed edges, whose colours are no class's; draw "
                "it without smoothing"
            )
        if erased.any() and notice is not None:
            notice("masks have transparent pixels, which are void")
        packed = (pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)).astype(np.uint32)
        places = np.minimum(np.searchsorted(self._sorted, packed), len(self._sorted) - 1)
        wrong = (self._sorted[places] != packed) & ~erased
        if wrong.any() and not self.others:
            strange, counts = np.unique(packed[wrong], return_counts=True)
            values = {f"#{value:06x}": count for value, count in zip(strange.tolist(), counts.tolist(), strict=True)}
            why = (
                "which this data set does not define; mend the file, or add them under ids (as void, if they are no "
                'class; "others: void" makes all others void)'
            )
            raise UnknownValues(path, "colour", values, packed.size, why, spec)
        ids: Ids = self._order[places]
        ids[erased | wrong] = self.nothing
        return ids
