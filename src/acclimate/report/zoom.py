"""The places where most boundaries meet, enlarged: every model's answer side by side (as Zhao et al., figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.evaluation.boundaries import near_boundaries
from acclimate.labels import resized_label
from acclimate.report.pictures import Picture, embedded, ids_of, opened, palette_of, path_inside
from acclimate.report.reading import PictureIndex

SHARE = 0.25
"""Width and height of the part that is enlarged, of the picture's."""
WIDTH = 320
"""Pixels to which it is enlarged."""
MOST = 4
"""Pictures of which a part is shown."""


@dataclass
class Zoomed:
    """A part of one image, and what each model made of it; ``answers`` holds (model, picture, accuracy there)."""

    name: str
    image: Picture
    label: Picture
    answers: list[tuple[str, Picture, float | None]] = field(default_factory=list)


def busiest_window(label: NDArray[np.uint8], *, classes: int, share: float = SHARE) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the window with the most pixels next to a class boundary; the first of equals.

    It is chosen by the label alone, so that no model is shown at its best or worst on purpose.

    Args:
        label: (H, W) train ids.
        classes: number of classes; other values are void.
        share: width and height of the window, of the label's.
    """
    height, width = max(1, round(label.shape[0] * share)), max(1, round(label.shape[1] * share))
    near = near_boundaries(label, width=1, classes=classes).astype(np.int64)
    sums = np.pad(near.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    counts = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(counts.argmax()), counts.shape)
    return int(left), int(top), int(left) + width, int(top) + height


def zooms(indices: Sequence[tuple[Path, PictureIndex, dict[str, str]]], order: Sequence[str] = ()) -> list[Zoomed]:
    """A part of each of the first labelled target pictures, with the answers of at least two models.

    Args:
        indices: as :func:`acclimate.report.pictures.galleries` takes them.
        order: of the models.
    """
    found: dict[str, Zoomed] = {}
    for folder, index, shown in indices:
        for image in index.images:
            if index.kind != "labels" or image.domain != "target" or image.label is None:
                continue
            truth = ids_of(path_inside(folder, image.label))
            window = busiest_window(truth, classes=len(index.colours))
            palette = palette_of(index.colours)
            if image.name not in found:
                if len(found) == MOST:
                    continue
                photo = opened(path_inside(folder, image.input)).convert("RGB")
                if photo.size != (truth.shape[1], truth.shape[0]):
                    continue
                label = _enlarged_labels(truth, truth, window, palette, len(index.colours))
                found[image.name] = Zoomed(image.name, _enlarged_photo(photo, window), label)
            part = found[image.name]
            for model, paths in image.models.items():
                if model in shown and shown[model] not in {answer[0] for answer in part.answers}:
                    guess = ids_of(path_inside(folder, paths.prediction))
                    if guess.shape == truth.shape:
                        picture = _enlarged_labels(guess, truth, window, palette, len(index.colours))
                        accuracy = _accuracy(guess, truth, window, len(index.colours))
                        part.answers.append((shown[model], picture, accuracy))
    parts = [part for part in found.values() if len(part.answers) > 1]
    for part in parts:
        part.answers.sort(key=lambda answer: order.index(answer[0]) if answer[0] in order else len(order))
    return parts


def _enlarged_photo(photo: Image.Image, window: tuple[int, int, int, int]) -> Picture:
    return embedded(photo.crop(window).resize(_size(window), Image.Resampling.BICUBIC), "JPEG", quality=85)


def _enlarged_labels(
    ids: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    window: tuple[int, int, int, int],
    palette: list[int],
    classes: int,
) -> Picture:
    """Train ids in colour, with the label's own boundaries as thin white lines."""
    size = _size(window)
    left, top, right, bottom = window
    shown, real = (resized_label(np.ascontiguousarray(of[top:bottom, left:right]), size) for of in (ids, truth))
    lines = np.zeros(real.shape, dtype=bool)
    known = real < classes
    lines[:, 1:] |= (real[:, 1:] != real[:, :-1]) & known[:, 1:] & known[:, :-1]
    lines[1:] |= (real[1:] != real[:-1]) & known[1:] & known[:-1]
    shown = np.where(lines, np.uint8(254), shown)
    picture = Image.fromarray(shown)
    colours = list(palette)
    colours[3 * 254 : 3 * 255] = [255, 255, 255]
    picture.putpalette(colours)
    return embedded(picture, "PNG")


def _accuracy(
    guess: NDArray[np.uint8], truth: NDArray[np.uint8], window: tuple[int, int, int, int], classes: int
) -> float | None:
    left, top, right, bottom = window
    part, seen = truth[top:bottom, left:right], guess[top:bottom, left:right]
    scored = part < classes
    return float((part[scored] == seen[scored]).mean()) if scored.any() else None


def _size(window: tuple[int, int, int, int]) -> tuple[int, int]:
    width, height = window[2] - window[0], window[3] - window[1]
    return WIDTH, max(1, round(WIDTH * height / width))
