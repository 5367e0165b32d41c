"""Which ids or colours label maps hold, with their shares of the pixels and the number of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acclimate.data.cache import in_parallel
from acclimate.data.readers.files import read_ids
from acclimate.data.sample import evenly_spaced
from acclimate.errors import UserError
from acclimate.io.images import opened

LOOKED = 400
"""Label files that are read, evenly spaced."""
MOST_VALUES = 250
"""More different colours than this are taken for smoothed edges, and only the common ones are kept."""
COMMON = 0.0005
"""The share of the pixels from which a colour is common."""


@dataclass
class Values:
    """What the label maps of a folder hold.

    Attributes:
        colours: whether masks are drawn in colours: values are then 0xRRGGBB, else ids.
        pixels, files: of each value, in the labels looked at.
        looked: how many labels that were.
        problems: files that could not be read.
        cut: whether rare colours were left out.
    """

    colours: bool = False
    pixels: Counter[int] = field(default_factory=Counter)
    files: Counter[int] = field(default_factory=Counter)
    looked: int = 0
    problems: list[str] = field(default_factory=list)
    cut: bool = False

    def share(self, value: int) -> float:
        """Of all pixels, in percent."""
        return 100.0 * self.pixels[value] / max(1, sum(self.pixels.values()))

    def written(self, value: int) -> str:
        """As a ``dataset.yaml`` names it."""
        return f"#{value:06x}" if self.colours else str(value)


def values_in(paths: Sequence[Path]) -> Values:
    """The ids or colours of label files, told by the first that can be read."""
    chosen = [paths[place] for place in evenly_spaced(LOOKED, len(paths))]
    result = Values(colours=bool(chosen) and _drawn_in_colours(chosen[0]))

    def counted(index: int) -> tuple[NDArray[np.integer], NDArray[np.integer]] | UserError:
        try:
            numbers = _packed(chosen[index]) if result.colours else read_ids(chosen[index])
        except UserError as error:
            return error
        return np.unique(numbers, return_counts=True)

    for each in in_parallel(counted, len(chosen)):
        if isinstance(each, UserError):
            result.problems.append(str(each))
            continue
        found, counts = each
        result.looked += 1
        for value, pixels in zip(found.tolist(), counts.tolist(), strict=True):
            result.pixels[value] += pixels
            result.files[value] += 1
    if len(result.pixels) > MOST_VALUES:
        result.cut = True
        kept = [value for value in result.pixels if result.share(value) >= 100 * COMMON][:MOST_VALUES]
        result.files = Counter({value: result.files[value] for value in kept})
    return result


def _drawn_in_colours(path: Path) -> bool:
    try:
        read_ids(path)
    except UserError:
        with opened(path) as picture:
            return picture.mode in ("RGB", "RGBA")
    return False


def _packed(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    with opened(path, whole=True) as picture:
        pixels = np.array(picture.convert("RGB"), dtype=np.uint32)
    return (pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)).astype(np.uint32)
