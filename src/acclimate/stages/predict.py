"""Predictions for images that belong to no data set: label maps, entropy maps, overlays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from acclimate.data.class_spaces import cityscapes_label_ids
from acclimate.data.readers.cityscapes import IMAGE_END
from acclimate.data.readers.files import IMAGE_SUFFIXES, read_image
from acclimate.detection.evaluate import predict_boxes
from acclimate.errors import UserError, unknown
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.evaluation.pictures import save_picture
from acclimate.evaluation.predict import predict
from acclimate.io.outputs import claim_folder
from acclimate.io.progress import progress
from acclimate.models.checkpoint import load_network
from acclimate.report.colour import entropy_colours
from acclimate.stages.evaluate import class_space_of

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
    network, card = load_network(checkpoint, device=device)
    network.eval()
    space = class_space_of(card)
    palette = space.palette()
    label_ids = np.array(cityscapes_label_ids(space) if label_format == "cityscapes" else [], dtype=np.uint8)
    inference = inference.over(Inference(size=card.input_size))
    jobs = _jobs(images, output)
    with progress("predict", len(jobs)) as bar:
        for path, name in jobs:
            image = read_image(path)
            result = predict(
                [network],
                inference.prepared(image).to(device),
                size=(image.shape[0], image.shape[1]),
                inference=inference,
            )
            labels = result.labels[0].cpu().numpy()
            if label_format == "cityscapes":
                written = output / f"{name.removesuffix(IMAGE_END)}_pred_labelIds.png"
                save_picture(written, PILImage.fromarray(label_ids[labels]))
            else:
                written = output / f"{name}.png"
                coloured = PILImage.fromarray(labels).convert("L")
                coloured.putpalette(palette.flatten().tolist())
                save_picture(written, coloured)
            if entropy:
                levels = (result.entropy[0].cpu().numpy() * 255).round().astype(np.uint8)
                save_picture(output / f"{name}-entropy.png", PILImage.fromarray(entropy_colours()[levels]))
            if overlay:
                mixed = image * (1 - OVERLAY_OPACITY) + palette[labels] * OVERLAY_OPACITY
                save_picture(output / f"{name}-overlay.jpg", PILImage.fromarray(mixed.round().astype(np.uint8)))
            bar.advance(note=name)
            yield written


def predict_detections(checkpoint: Path, images: Sequence[Path], *, output: Path, device: str) -> Iterator[Path]:
    """Draws a detector's boxes on every image, see :func:`acclimate.detection.evaluate.predict_boxes`."""
    yield from predict_boxes(checkpoint, _jobs(images, output), output=output, device=device)


def _jobs(paths: Sequence[Path], output: Path) -> list[tuple[Path, str]]:
    """Every image with the name that its prediction gets under ``output``."""
    jobs: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_file():
            jobs.append((path, path.stem))
        elif path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if not found:
                raise UserError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
            jobs.extend((entry, str(entry.relative_to(path).with_suffix(""))) for entry in found)
        else:
            raise UserError(f"there is no image or folder {path}")
    names = [name for _, name in jobs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two of the images are called {twice}; predict them in two commands with different -o folders")
    claim_folder(output, "predict", reads=paths)
    return jobs
