"""Reading images and label files with Pillow, and saying clearly what is wrong with those that cannot be read."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps

from acclimate.data.readers.archives import ArchivePath, Place, matches
from acclimate.data.sample import Image
from acclimate.errors import UserError

MAX_PIXELS = 100_000_000
"""Larger images are refused: a small malicious file can claim a size that would fill the memory."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)

Ids = NDArray[np.unsignedinteger[Any]]
"""Raw class ids as a file holds them, shape (H, W), 8 or 16 bits."""

_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, PILImage.DecompressionBombError)
_ORIENTATION = 0x0112
_UNKNOWN = 256


@contextmanager
def opened(path: Place) -> Iterator[PILImage.Image]:
    """An image file; whatever goes wrong with it becomes one UserError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
            picture = PILImage.open(path if isinstance(path, Path) else io.BytesIO(path.read_bytes()))
        with picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"{path} has {picture.width}x{picture.height} pixels, more than the {MAX_PIXELS // 10**6} million "
                    "that are read; make it smaller"
                )
            yield picture
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is gone; it was there when the data set was opened") from None
    except _UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read as an image ({error}); it is damaged or not what its name says: replace or remove "
            "it"
        ) from error


def read_image(path: Place) -> Image:
    """The image as RGB uint8, (H, W, 3), upright as its EXIF orientation says.

    Raises:
        UserError: the file is missing, damaged, too large, or has more than 8 bits per channel.
    """
    with opened(path) as picture:
        if picture.mode.startswith(("I", "F")):
            raise UserError(f"{path} has more than 8 bits per channel (mode {picture.mode}); convert it to 8-bit RGB")
        upright = ImageOps.exif_transpose(picture) if _orientation(picture) != 1 else picture
        return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def image_size(path: Place) -> tuple[int, int]:
    """(height, width) of the upright image, from the file's header alone."""
    with opened(path) as picture:
        width, height = picture.size
        # 5 to 8 are the orientations that lie on a side
        return (width, height) if _orientation(picture) >= 5 else (height, width)


def _orientation(picture: PILImage.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # asking further would decode the whole picture in search of a late chunk
    return int(picture.getexif().get(_ORIENTATION, 1))


def read_ids(path: Place) -> Ids:
    """Class ids of a single-channel label file: greyscale (8 or 16 bits) or palette, whose indices are the ids.

    Raises:
        UserError: the file is missing, damaged, or has several channels.
    """
    with opened(path) as picture:
        if picture.mode in ("L", "P", "1"):
            return np.array(picture, dtype=np.uint8)
        if picture.mode in ("I;16", "I;16B", "I"):
            return np.array(picture).astype(np.uint16)
        raise UserError(
            f"{path} is a colour picture (mode {picture.mode}), but labels of this kind are single-channel class ids; "
            "a file made for looking at was given where the file of ids belongs"
        )


class IdTable:
    """Raw ids to train ids by table look-up.

    Args:
        mapping: raw id -> train id; ids that are not keys are unknown.
    """

    def __init__(self, mapping: Mapping[int, int]) -> None:
        self.known = sorted(raw for raw in mapping if raw >= 0)
        self._table = np.full(1 << 16, _UNKNOWN, dtype=np.uint16)
        for raw in self.known:
            self._table[raw] = mapping[raw]
        self._small = self._table[:256].copy()  # stays in the first-level cache

    def train_ids(self, ids: Ids, path: Place, *, spec: str) -> NDArray[np.uint8]:
        """Train ids, void 255.

        Raises:
            UserError: a raw id is unknown; names the file and all such ids in it.
        """
        mapped = (self._small if ids.dtype == np.uint8 else self._table)[ids]
        if mapped.size and mapped.max() == _UNKNOWN:
            strange = np.unique(ids[mapped == _UNKNOWN]).tolist()
            raise UserError(
                f"{path} holds the class id{'s' * (len(strange) > 1)} {_listed(strange)}, which this data set does not "
                f"define (it defines {_ranges(self.known)}, where some are void); mend the file or the ids; "
                f"`acclimate check {spec}` lists every such file"
            )
        return mapped.astype(np.uint8)


def _listed(values: list[int], most: int = 10) -> str:
    return ", ".join(map(str, values[:most])) + (f" and {len(values) - most} more" if len(values) > most else "")


def _ranges(values: list[int]) -> str:
    """``[0, 1, 2, 5]`` as ``0-2, 5``."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1][1:] = [value]
        else:
            parts.append([value])
    return ", ".join("-".join(map(str, part)) for part in parts)


# --- finding and pairing files ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """One image, its name in the set, and its label file if there is one."""

    name: str
    image: Place
    label: Place | None


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        items: in the order of names.
        labelled: whether there is a place for labels at all.
        faults: what keeps the set from being opened.
        remarks: what :func:`acclimate.data.check.check` also wants mended.
        notes: what it tells, though nothing needs mending.
    """

    items: list[Item]
    labelled: bool
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def found(folder: Place, suffixes: Iterable[str], *, pattern: str | None = None) -> list[tuple[str, Place]]:
    """(relative path without suffix, path) of the files under ``folder``, sorted; hidden ones are skipped.

    Args:
        folder: searched with its sub-folders.
        suffixes: lower case, with the dot; files match whatever their case.
        pattern: a glob below ``folder``; None: everything.
    """
    suffixes = tuple(suffixes)
    if isinstance(folder, ArchivePath):
        return _found_in_archive(folder, suffixes, pattern)
    if pattern is None:
        paths: Iterable[Path] = (
            Path(where, file) for where, _, files in os.walk(folder, followlinks=True) for file in files
        )
    else:
        paths = (path for path in folder.glob(pattern) if path.is_file())
    result: list[tuple[str, Place]] = []
    for path in paths:
        relative = path.relative_to(folder)
        if path.suffix.lower() in suffixes and not any(part.startswith(".") for part in relative.parts):
            result.append((relative.with_suffix("").as_posix(), path))
    return sorted(result, key=lambda entry: (entry[0], str(entry[1])))


def _found_in_archive(folder: ArchivePath, suffixes: tuple[str, ...], pattern: str | None) -> list[tuple[str, Place]]:
    result: list[tuple[str, Place]] = []
    for path in folder.files():
        relative = path.below(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in suffixes and not hidden and (pattern is None or matches(relative, pattern)):
            result.append((relative.with_suffix("").as_posix(), path))
    return sorted(result, key=lambda entry: (entry[0], str(entry[1])))


def paired(
    images: Iterable[tuple[str, Place]],
    labels: Iterable[tuple[str, Place]] | None,
    *,
    label_name: Mapping[str, str] | None = None,
) -> Listing:
    """Images with their labels, by relative path without suffix.

    Args:
        images: as from :func:`found`.
        labels: as from :func:`found`; None: the set has no labels.
        label_name: parts of an image's name to replace to get its label's name.
    """
    listing = Listing(items=[], labelled=labels is not None)
    by_name: dict[str, Place] = {}
    for name, path in labels or ():
        if name in by_name:
            listing.faults.append(f"{by_name[name]} and {path} are labels of the same image; keep one")
        by_name[name] = path
    used: set[str] = set()
    seen: dict[str, Place] = {}
    for name, path in images:
        if (earlier := seen.get(name.lower())) is not None:
            fault = any(item.name == name for item in listing.items[-2:])
            (listing.faults if fault else listing.remarks).append(
                f"{earlier} and {path} have names that differ only in {'suffix' if fault else 'case'}; rename one"
            )
            if fault:
                continue
        seen[name.lower()] = path
        wanted = name
        for old, new in (label_name or {}).items():
            wanted = wanted.replace(old, new)
        label = by_name.get(wanted)
        if label is not None:
            used.add(wanted)
        elif labels is not None:
            listing.faults.append(f"{path} has no label (expected a label file named {wanted}.png)")
        listing.items.append(Item(name, path, label))
    listing.remarks.extend(f"{path} is a label without an image" for name, path in by_name.items() if name not in used)
    return listing


def gaps(listing: Listing, *, digits: int) -> list[str]:
    """A note on the numbers missing between the first and the last image, where all names are numbers."""
    numbers = {int(item.name) for item in listing.items if item.name.isdecimal()}
    if len(numbers) != len(listing.items) or not numbers:
        return []
    absent = sorted(set(range(min(numbers), max(numbers))) - numbers)
    if not absent:
        return []
    runs = [part.split("-") for part in _ranges(absent).split(", ")]
    shown = ["-".join(number.zfill(digits) for number in run) for run in runs[:10]]
    return [f"{len(absent)} images are missing in the numbering: {', '.join(shown)}{', …' * (len(runs) > 10)}"]
