"""A folder of pseudo-labels: ``labels/NAME.png`` for every image, and ``manifest.json``, which is written last.

A folder without a manifest is unfinished and nothing reads it. ``started.json`` says what is being written, so that the
same command goes on where it stopped and another one does not mix its labels in.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.data.wrappers import LABEL_FOLDER, MANIFEST
from acclimate.errors import UserError
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.io.files import remove_leftovers, write_bytes
from acclimate.pseudo.thresholds import Kept, Selection, Thresholds

STARTED = "started.json"


class PseudoLabelFolder:
    """Where the pseudo-labels of one set of images go.

    Args:
        folder: made if absent.
        identity: a hash of everything the labels depend on (checkpoint, data, selection).
        claim: whether to make sure that the folder is for these labels; of several processes, one does.

    Raises:
        UserError: the folder holds pseudo-labels of another identity, or labels of unknown origin.
    """

    def __init__(self, folder: Path, *, identity: str, claim: bool = True) -> None:
        self.folder = Path(folder)
        if not claim:
            return
        started = self.folder / STARTED
        if started.is_file():
            if read_verified_json(started).get("identity") != identity:
                raise UserError(
                    f"{self.folder} holds pseudo-labels of another checkpoint, data set or selection; give another "
                    "folder with -o, or delete this one first"
                )
        elif (self.folder / MANIFEST).exists() or (self.folder / LABEL_FOLDER).exists():
            raise UserError(
                f"{self.folder} already holds labels and no {STARTED} that says where they come from; give another "
                "folder with -o"
            )
        else:
            write_verified_json(started, {"identity": identity})
        remove_leftovers(self.folder)

    @property
    def finished(self) -> bool:
        """Whether the manifest has been written."""
        return (self.folder / MANIFEST).is_file()

    def has(self, name: str) -> bool:
        """Whether an image's pseudo-label has been written; files are whole or absent."""
        return label_path(self.folder, name).is_file()

    def write(self, name: str, label: NDArray[np.uint8]) -> None:
        """Writes one 8-bit single-channel PNG, atomically.

        Args:
            name: of the image, parts joined by ``/``.
            label: (H, W) uint8 train ids, void 255.
        """
        if label.ndim != 2 or label.dtype != np.uint8:
            raise ValueError(f"expected (H, W) uint8 train ids, got {label.shape} {label.dtype}")
        content = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(label)).save(content, format="PNG")
        write_bytes(label_path(self.folder, name), content.getvalue())

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Writes the manifest, which makes the folder one that can be trained on."""
        write_verified_json(self.folder / MANIFEST, manifest)


def label_path(folder: Path, name: str) -> Path:
    """Where the pseudo-label of an image lies: sub-folders are kept, so names that end alike stay apart.

    Raises:
        UserError: the name would lead out of the folder.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts) or PureWindowsPath(name).drive:
        raise UserError(
            f"the image name {name!r} cannot become a file inside {folder}; rename the image: names are relative paths "
            "without empty, '.' or '..' parts and without backslashes"
        )
    labels = Path(folder) / LABEL_FOLDER
    path = labels.joinpath(*parts[:-1], f"{parts[-1]}.png")
    if not path.resolve().is_relative_to(labels.resolve()):
        raise UserError(f"{path} leads out of {labels} through a link; remove the link and label again")
    return path


def pseudo_label_manifest(
    *,
    classes: Sequence[str],
    selection: Selection,
    thresholds: Thresholds,
    kept: Kept,
    checkpoint: str,
    data: Mapping[str, Any],
    images: int,
    invalid_pixels: int = 0,
    quality: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What ``manifest.json`` holds; lists follow the order of ``classes``, shares are fractions, absent values null.

    Args:
        classes: names in train-id order.
        selection: as configured.
        thresholds: as applied; written as the papers do (mu, a probability; nu, a normalised entropy).
        kept: what was selected.
        checkpoint: hash of the network's file.
        data: spec, split and fingerprint of the images.
        images: how many were labelled.
        invalid_pixels: pixels for which the network gave NaN or infinite values.
        quality: tables of :mod:`acclimate.pseudo.quality`, where the images have labels.
    """
    never = [total == 0 for total in kept.pixels]
    return {
        "schema": 1,
        "classes": list(classes),
        "selection": selection.model_dump(mode="json"),
        "thresholds": [None if skip else value for skip, value in zip(never, thresholds.published(), strict=True)],
        "kept": kept.per_class,
        "kept_overall": kept.overall,
        "predicted_pixels": kept.pixels,
        "selected_pixels": [round(value) for value in kept.kept],
        "invalid_pixels": invalid_pixels,
        "images": images,
        "checkpoint": checkpoint,
        "data": dict(data),
        "quality": None if quality is None else dict(quality),
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder of pseudo-labels.

    Raises:
        UserError: the folder is unfinished, absent or no folder of pseudo-labels.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{folder} holds no {MANIFEST}: labelling did not finish there; run the same `acclimate label` command "
            "again, it goes on where it stopped"
        )
    content = read_verified_json(path)
    if "thresholds" not in content:
        raise UserError(f"{path} is no manifest of pseudo-labels; label again into another folder")
    return content
