"""The built-in scenes as plain folders of pictures, as anybody's own data would be, to try things on."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as PILImage

from acclimate.data.cache import in_parallel, reported
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.data.sample import Dataset
from acclimate.errors import UserError

SOURCE, TARGET, SCORED = "renders", "footage", "scored"
"""Labelled renders; frames without labels; other frames of the same look, whose labels are for scoring alone."""
NAMES = "classes.txt"


def write_scenes(folder: Path, *, look: str, images: int, size: tuple[int, int]) -> None:
    """Writes ``renders/images``, ``renders/labels``, ``footage`` and ``scored/images``, ``scored/labels``.

    Args:
        folder: where to.
        look: of the target.
        images: of the source and of the target; a quarter as many are for scoring.
        size: (width, height) in pixels.

    Raises:
        UserError: an unknown look, or the disk is full.
    """
    source = ScenesDataset("render", split="train", images=images, size=size)
    target = ScenesDataset(look, split="train", images=images, size=size)
    scored = ScenesDataset(look, split="val", images=max(1, images // 4), size=size)
    _write(source, folder / SOURCE / "images", folder / SOURCE / "labels")
    _write(target, folder / TARGET, None)
    _write(scored, folder / SCORED / "images", folder / SCORED / "labels")
    for place in (SOURCE, SCORED):
        (folder / place / NAMES).write_text("\n".join(source.class_space.classes) + "\n", encoding="utf-8")


def _write(dataset: Dataset, images: Path, labels: Path | None) -> None:
    def one(index: int) -> None:
        name = f"{index:04d}.png"
        PILImage.fromarray(dataset.image(index)).save(images / name)
        if labels is not None:
            PILImage.fromarray(dataset.label(index)).save(labels / name)

    try:
        for place in (images, labels):
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
        count = len(dataset)
        for _ in reported(in_parallel(one, count), count, f"drawing {images}", None):
            pass
    except OSError as error:
        raise UserError(f"cannot write {images}: {error.strerror or error}; choose another folder") from error
