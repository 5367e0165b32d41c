"""Predictions for images that belong to no data set: label maps, entropy maps, overlays."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from acclimate.data.class_spaces import cityscapes_label_ids
from acclimate.data.readers.cityscapes import IMAGE_END
from acclimate.data.readers.files import IMAGE_SUFFIXES, read_image
from acclimate.data.readers.listing import found
from acclimate.errors import UserError, unknown
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.evaluation.model import load
from acclimate.evaluation.pictures import save_picture
from acclimate.io.outputs import claim_folder
from acclimate.io.progress import progress
from acclimate.report.colour import entropy_colours

log = logging.getLogger(__name__)

OVERLAY_OPACITY = 0.55


LABEL_FORMATS = ("train-ids", "cityscapes")
"""``cityscapes``: what the official evaluation and its server read."""


def predict_images(
    checkpoint: Path,
    images: Sequence[Path],
    *,
    output: Path,
    entropy: bool,
    overlay: bool,
    device: str,
    label_format: str = "train-ids",
    inference: Inference = ONCE,
) -> Iterator[Path]:
    """Writes ``NAME.png`` (train ids, coloured by palette) for every image at its native size.

    With ``label_format="cityscapes"``, ``CITY_SEQUENCE_FRAME_pred_labelIds.png`` instead: an 8-bit greyscale picture of
    label ids, as the official evaluation pairs with its ground truth.

    Also ``NAME-entropy.png`` and ``NAME-overlay.jpg`` where asked for. Folders are searched with their sub-folders,
    which are kept under ``output``.

    Yields:
        The path of each label map written.

    Raises:
        UserError: the format is unknown, a path does not exist, a folder holds no image, an image cannot be read, or
            ``output`` lies among the images.
    """
    if label_format not in LABEL_FORMATS:
        raise unknown("format of label maps", label_format, LABEL_FORMATS)
    model = load(checkpoint, device=device)
    palette = model.space.palette()
    label_ids = np.array(cityscapes_label_ids(model.space) if label_format == "cityscapes" else [], dtype=np.uint8)
    jobs = images_to_predict(images, output)
    with progress("predict", len(jobs)) as bar:
        for path, name in jobs:
            image = read_image(path)
            result = model.predict(image, inference=inference)
            labels = result.labels
            if label_format == "cityscapes":
                written = output / f"{name.removesuffix(IMAGE_END)}_pred_labelIds.png"
                save_picture(written, PILImage.fromarray(label_ids[labels]))
            else:
                written = output / f"{name}.png"
                coloured = PILImage.fromarray(labels).convert("L")
                coloured.putpalette(palette.flatten().tolist())
                save_picture(written, coloured)
            if entropy:
                levels = (result.entropy * 255).round().astype(np.uint8)
                save_picture(output / f"{name}-entropy.png", PILImage.fromarray(entropy_colours()[levels]))
            if overlay:
                mixed = image * (1 - OVERLAY_OPACITY) + palette[labels] * OVERLAY_OPACITY
                save_picture(output / f"{name}-overlay.jpg", PILImage.fromarray(mixed.round().astype(np.uint8)))
            bar.advance(note=name)
            yield written


def images_to_predict(paths: Sequence[Path], output: Path) -> list[tuple[Path, str]]:
    """Every image with the name that its prediction gets under ``output``."""
    jobs: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_file():
            jobs.append((path, path.stem))
        elif path.is_dir():
            pictures = found(path, IMAGE_SUFFIXES)
            if pictures.faults:
                raise UserError(pictures.faults[0])
            for note in pictures.notes:
                log.warning("%s", note)
            if not len(pictures):
                raise UserError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
            jobs.extend((Path(str(entry)), name) for name, entry in pictures)
        else:
            raise UserError(f"there is no image or folder {path}")
    names = [name for _, name in jobs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two of the images are called {twice}; predict them in two commands with different -o folders")
    claim_folder(output, "predict", reads=paths)
    return jobs
