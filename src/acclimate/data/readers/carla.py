"""Captures of the CARLA simulator in the layout of the 2018 Lyft perception challenge."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids, refuse_lossy, refuse_several
from acclimate.data.readers.listing import ORPHAN, Files, Listing, found, paired
from acclimate.data.sample import Label
from acclimate.errors import UserError
from acclimate.io.images import has_16_bits, opened, upright
from acclimate.labels import VOID

BONNET_TOP, FRAME_HEIGHT = 490, 600
"""From this row of 600 down, frames show the bonnet of the camera's own car (labelled vehicle)."""
NO_CLASS = 0
HELD_OUT = 0.1
"""The share of each drive's frames, the last ones, that are ``val``."""


class Carla(FileDataset):
    """``CameraRGB/NAME.jpg`` and ``CameraSeg/NAME.png``, whose red channel is the class id.

    Neighbouring frames are nearly the same picture, so ``val`` is the last tenth of each drive rather than frames
    picked here and there; a drive is the frames whose names agree up to the first ``_``. ``train`` is the rest, ``all``
    is both.

    Id 0 is sky and also whatever has no class: only its regions that touch the top row are sky, the others are void.
    The camera car's bonnet is void.
    """

    kind = "carla"
    description = "CARLA captures, labels in the red channel; splits train, val (the last tenth of each drive), all"
    layout = "CameraRGB/NAME.jpg (or .png) and CameraSeg/NAME.png"
    default_space = "carla-camvid-10"

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return ["train", "val", "all"] if (root / "CameraRGB").is_dir() else []

    @classmethod
    def splits_to_check(cls, root: Place) -> list[str]:
        return ["all"] if cls.splits(root) else []

    def list_files(self) -> Listing:
        labels = self.root / "CameraSeg"
        images = found(self.root / "CameraRGB", IMAGE_SUFFIXES)
        if self.split != "all":
            chosen = of_split(images.entries, self.split)
            images = Files(chosen, images.faults, images.remarks, images.notes)
        listing = paired(images, found(labels, LABEL_SUFFIXES) if labels.is_dir() else None)
        if self.split != "all":  # labels of the other split are no orphans
            listing.remarks = [remark for remark in listing.remarks if not remark.endswith(ORPHAN)]
        return listing

    def read_ids(self, path: Place) -> Ids:
        with opened(path, whole=True) as picture:
            refuse_lossy(picture, path)
            if picture.mode not in ("RGB", "RGBA") or has_16_bits(picture):
                raise UserError(f"{path} has mode {picture.mode}; CARLA labels are 8-bit RGB with the class id in red")
            channels = np.array(upright(picture))
            if channels.shape[-1] == 4 and not (channels[..., 3] == 255).all():
                raise UserError(f"{path} has transparent pixels, whose ids nobody can know; save it without them")
            refuse_several(picture, path)
            return channels[..., 0]

    def refined(self, label: Label, ids: Ids) -> Label:
        nothing = ids == NO_CLASS
        label[nothing & ~reaches_top(nothing)] = VOID
        label[round(label.shape[0] * BONNET_TOP / FRAME_HEIGHT) :] = VOID
        return label


def of_split(images: list[tuple[str, Place]], split: str) -> list[tuple[str, Place]]:
    """The first nine tenths of each drive (``train``) or its last tenth, rounded up (``val``); names are sorted."""
    chosen = []
    for _, drive in groupby(images, key=lambda image: image[0].split("_")[0]):
        frames = list(drive)
        border = len(frames) - math.ceil(len(frames) * HELD_OUT)
        chosen.extend(frames[:border] if split == "train" else frames[border:])
    return chosen


def reaches_top(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of a mask whose 4-connected regions touch the top row, shape (H, W).

    Works on horizontal runs, of which an image has a few thousand, rather than on pixels.
    """
    height, width = mask.shape
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    runs = np.cumsum(starts.ravel(), dtype=np.int32).reshape(height, width)  # 1, 2, … in reading order, within the mask
    touching = mask[:-1] & mask[1:]
    touching[:, 1:] &= starts[:-1, 1:] | starts[1:, 1:] | ~touching[:, :-1]  # one pixel per pair of runs
    above, below = runs[:-1][touching], runs[1:][touching]
    reached = np.zeros(int(runs[-1, -1]) + 1, dtype=bool)
    reached[runs[0][mask[0]]] = True
    neighbours: dict[int, list[int]] = {}
    for upper, lower in zip(above.tolist(), below.tolist(), strict=True):
        neighbours.setdefault(upper, []).append(lower)
        neighbours.setdefault(lower, []).append(upper)
    waiting = np.flatnonzero(reached).tolist()
    while waiting:
        for neighbour in neighbours.get(waiting.pop(), ()):
            if not reached[neighbour]:
                reached[neighbour] = True
                waiting.append(neighbour)
    result: NDArray[np.bool_] = reached[runs] & mask
    return result
