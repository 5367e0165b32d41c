"""Pictures and label files as arrays, and what is wrong with those that cannot be one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from acclimate.data.readers.archives import Place
from acclimate.data.sample import Image
from acclimate.errors import UserError
from acclimate.io.images import (
    SUFFIXES,
    has_16_bits,
    has_more_pictures,
    lossy,
    opened,
    orientation,
    raw_mode,
    upright,
    upright_size,
    white_is_zero,
)

IMAGE_SUFFIXES = SUFFIXES
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
"""Files of labels; whether their content is lossless is looked at when they are read."""

log = logging.getLogger(__name__)

Ids = NDArray[np.unsignedinteger[Any]]
"""Raw class ids as a file holds them, shape (H, W), 8 or 16 bits."""
Notice = Callable[[str], None]
"""Told what is odd about a file, but handled: words that follow the number of such files."""

SLOW_PIXELS = 25_000_000
"""From here on a picture takes seconds to read and, on a CPU, minutes to predict."""
TURNED = "pictures are turned upright by their EXIF orientation; their labels must match the turned picture"
GREY_AS_COLOUR = "labels hold their ids three times (red = green = blue)"
_UNKNOWN = 256
_SCALES = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey samples of 2 and of 4 bits with."""


def read_image(path: Place, *, notice: Notice | None = None, reduced_for: tuple[int, int] | None = None) -> Image:
    """The image as RGB uint8, (H, W, 3), upright as its EXIF orientation says.

    Args:
        path: the file.
        notice: told what is odd about it, but handled.
        reduced_for: (width, height) that it will be resized to: a JPEG may be decoded at a half, a quarter or an eighth
            of its size, as long as it stays twice as large as that.

    Raises:
        UserError: the file is missing, damaged, too large, of no format that is read, or has more than 8 bits per
            channel.
    """
    with opened(path, whole=True) as picture:
        if has_16_bits(picture):
            raise UserError(
                f"{path} has more than 8 bits per channel (mode {picture.mode}); convert it to 8-bit RGB, scaled by "
                "what its camera gives (12 bits in 16 would be nearly black)"
            )
        if notice is not None and orientation(picture) != 1:
            notice(TURNED)
        if picture.width * picture.height > SLOW_PIXELS:
            _say_slow(f"{path} has {picture.width}x{picture.height} pixels")
        if reduced_for is not None:
            width, height = reduced_for if orientation(picture) < 5 else reduced_for[::-1]
            picture.draft(None, (2 * width, 2 * height))  # does nothing to other formats
        turned = upright(picture)
        return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))


_slow_told: set[bool] = set()


def _say_slow(what: str) -> None:
    """Once per process: one such picture is an accident worth knowing, a thousand are how the set is."""
    if not _slow_told:
        _slow_told.add(True)
        log.warning("%s: what reads or predicts pictures of that size is slow; smaller copies are much faster", what)


def image_size(path: Place) -> tuple[int, int]:
    """(height, width) of the upright image, from the file's header alone."""
    with opened(path) as picture:
        return upright_size(picture)


def image_orientation(path: Place) -> int:
    """The EXIF orientation, 1 where there is none."""
    with opened(path) as picture:
        return orientation(picture)


def read_ids(
    path: Place, *, notice: Notice | None = None, palette: Callable[[NDArray[np.uint8], Ids], None] | None = None
) -> Ids:
    """Class ids of a label file: the samples of a grey picture (1 to 16 bits), or the indices of one with a palette.

    A picture in colours whose three channels are the same everywhere, and not black, is read as the grey one it was.

    Args:
        path: the file.
        notice: told what is odd about it, but handled.
        palette: of a file with a palette, given the palette, shape (entries, 3), and the indices: may refuse it.

    Raises:
        UserError: the file is missing, damaged, lossy, in colours, partly transparent, or holds several pictures.
    """
    with opened(path, whole=True) as picture:
        refuse_lossy(picture, path)
        samples, inverted = raw_mode(picture), white_is_zero(picture)
        picture = upright(picture)
        if inverted:
            raise UserError(f"{path} counts its samples from white; save it as a TIFF or PNG that counts from black")
        if picture.mode in ("L", "P", "1"):
            ids: Ids = np.array(picture).astype(np.uint8, copy=False)
            if (scale := _SCALES.get(samples[:3], 1)) > 1:
                ids = ids // np.uint8(scale)
        elif picture.mode.startswith("I"):
            wide = np.array(picture)
            if wide.size and not 0 <= int(wide.min()) <= int(wide.max()) < 1 << 16:
                raise UserError(f"{path} holds values from {wide.min()} to {wide.max()}; class ids are 0 to 65535")
            ids = wide.astype(np.uint16)
        else:
            ids = _grey_in_colour(picture, samples, path)
            if notice is not None:
                notice(GREY_AS_COLOUR)
        if picture.mode == "P" and palette is not None:
            palette(np.array(picture.getpalette() or [], dtype=np.uint8).reshape(-1, 3), ids)
        refuse_several(picture, path)
        return ids


def _grey_in_colour(picture: PILImage.Image, samples: str, path: Place) -> Ids:
    colour = UserError(
        f"{path} is a colour picture (mode {picture.mode}), but labels of this kind are single-channel class ids; "
        "a file made for looking at was given where the file of ids belongs (masks drawn in colours: name the colours "
        'under ids of a dataset.yaml, or say "ids: colours")'
    )
    if picture.mode not in ("RGB", "RGBA", "LA") or ";16" in samples:
        raise colour
    channels = np.array(picture)
    colours, opacity = channels[..., : 1 if picture.mode == "LA" else 3], channels[..., -1]
    # nothing but black is what a mask in colours without any class looks like, too
    if not colours.any() or not (colours == colours[..., :1]).all():
        raise colour
    if picture.mode != "RGB" and not (opacity == 255).all():
        raise UserError(f"{path} has transparent pixels, whose ids nobody can know; save it without transparency")
    ids: Ids = colours[..., 0].copy()
    return ids


def refuse_lossy(picture: PILImage.Image, path: Place) -> None:
    """Raises UserError for a label in a format whose pixels are not exact."""
    kind = lossy(picture)
    if kind is not None:
        raise UserError(
            f"{path} is {kind}, whatever its name says: its pixels are not exact, so some would be of other classes; "
            "labels must be lossless (PNG): make them again from the originals"
        )


def refuse_several(picture: PILImage.Image, path: Place) -> None:
    """Raises UserError for a label file with more than one picture; after the first was decoded."""
    if picture.format in ("GIF", "TIFF", "PNG", "WEBP") and has_more_pictures(picture):
        raise UserError(f"{path} holds several pictures; save the one that is the label")


def palette_of(path: Place) -> NDArray[np.uint8] | None:
    """The palette of a label file, shape (entries, 3); None for files without. Reads the header only."""
    with opened(path) as picture:
        if picture.mode != "P" or picture.palette is None:
            return None
        return np.array(picture.getpalette() or [], dtype=np.uint8).reshape(-1, 3)


class UnknownValues(UserError):
    """A label holds ids or colours that nobody declared.

    Attributes:
        path: the file.
        what: ``id`` or ``colour``.
        values: each unknown value as written in a ``dataset.yaml`` -> its pixels.
        pixels: of the whole label.
        why: what is wrong with them, and what to do.
    """

    def __init__(self, path: Place, what: str, values: Mapping[str, int], pixels: int, why: str, spec: str) -> None:
        self.path, self.what, self.values, self.pixels, self.why = path, what, dict(values), pixels, why
        named = "the class id" if what == "id" else "the colour"
        super().__init__(
            f"{path} holds {named}{'s' * (len(values) > 1)} {_listed(list(values))}, {why}; "
            f"`acclimate check {spec}` lists every such file"
        )

    def __reduce__(self) -> tuple[type[UserError], tuple[str]]:
        return UserError, (str(self),)  # as the loader's processes send it


class IdTable:
    """Raw ids to train ids by table look-up.

    Args:
        mapping: raw id -> train id; ids that are not keys are unknown.
        others: the train id of unknown ids; None: they are an error.
    """

    def __init__(self, mapping: Mapping[int, int], *, others: int | None = None) -> None:
        self.known = sorted(raw for raw in mapping if raw >= 0)
        self._table = np.full(1 << 16, _UNKNOWN if others is None else others, dtype=np.uint16)
        for raw in self.known:
            self._table[raw] = mapping[raw]
        # 8-bit ids go through a table of bytes, in which an unknown one becomes a train id that no id is mapped to
        small = self._table[:256]
        free = sorted(set(range(_UNKNOWN)) - set(small.tolist()))
        self._strange = bytes(free[:1])
        self._bytes: bytes | None = None
        if free or not (small == _UNKNOWN).any():
            self._bytes = np.where(small == _UNKNOWN, free[0] if free else 0, small).astype(np.uint8).tobytes()

    def train_ids(self, ids: Ids, path: Place, *, spec: str) -> NDArray[np.uint8]:
        """Train ids, void 255.

        Raises:
            UnknownValues: a raw id is unknown; names the file and all such ids in it.
        """
        if ids.dtype == np.uint8 and self._bytes is not None:
            translated = ids.tobytes().translate(self._bytes)
            if not self._strange or self._strange not in translated:
                return np.frombuffer(bytearray(translated), dtype=np.uint8).reshape(ids.shape)
        mapped = self._table[ids]
        if mapped.size and mapped.max() == _UNKNOWN:
            strange, counts = np.unique(ids[mapped == _UNKNOWN], return_counts=True)
            why = (
                f"which this data set does not define (it defines {ranges(self.known)}, where some are void); mend "
                "the file or the ids"
            )
            values = dict(zip(map(str, strange.tolist()), counts.tolist(), strict=True))
            raise UnknownValues(path, "id", values, ids.size, why, spec)
        return mapped.astype(np.uint8)


def _listed(values: list[str], most: int = 10) -> str:
    return ", ".join(values[:most]) + (f" and {len(values) - most} more" if len(values) > most else "")


def ranges(values: list[int]) -> str:
    """``[0, 1, 2, 5]`` as ``0-2, 5``."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1][1:] = [value]
        else:
            parts.append([value])
    return ", ".join("-".join(map(str, part)) for part in parts)
