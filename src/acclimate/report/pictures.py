"""Pictures of a run as data URIs: small, coloured, and grouped so that every model's answer to an image is together."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.errors import UserError
from acclimate.io import images
from acclimate.report.colour import entropy_colours
from acclimate.report.reading import PictureIndex

_WIDTH = 640
"""Pixels to which wider pictures are reduced."""
_SMALL_WIDTH = 400
_MANY = 80
"""Pictures of models beyond which the smaller width is used, so that the page stays a few megabytes."""


@dataclass(frozen=True)
class Picture:
    """An embedded picture."""

    uri: str
    width: int
    height: int


@dataclass
class ModelAnswer:
    """A model's prediction and entropy map.

    Attributes:
        accuracy: the share of this image's labelled pixels it got right.
        errors: the wrong pixels, the rest transparent; None without a label.
        difference: what it says where its baseline says something else, the rest transparent; None without one.
        changed: the share of the pixels where it does.
        ids: (H, W) train ids of the prediction.
    """

    model: str
    prediction: Picture
    entropy: Picture | None
    accuracy: float | None
    errors: Picture | None = None
    difference: Picture | None = None
    changed: float | None = None
    ids: NDArray[np.uint8] | None = None


@dataclass
class Shot:
    """One image and all models' answers."""

    domain: str
    name: str
    image: Picture
    label: Picture | None
    answers: list[ModelAnswer] = field(default_factory=list)


@dataclass
class Gallery:
    """Shots that share one list of classes; ``boxed`` where predictions are photographs with boxes drawn on them."""

    classes: list[str]
    colours: list[tuple[int, int, int]]
    shots: list[Shot]
    boxed: bool = False


def galleries(
    indices: Sequence[tuple[Path, PictureIndex, dict[str, str]]], baselines: Mapping[str, str] | None = None
) -> list[Gallery]:
    """Merges picture indices: the same image of the same domain appears once, with the answers of all models.

    Args:
        indices: for each, the pictures folder, its index, and the name to show for each model (others are left out).
        baselines: shown model -> the shown one that its predictions are compared with.

    Raises:
        UserError: a picture is missing, is not a picture, or lies outside its folder.
    """
    total = sum(2 * len(image.models) for _, index, _ in indices for image in index.images)
    width = _WIDTH if total <= _MANY else _SMALL_WIDTH
    merged: dict[tuple[object, ...], Gallery] = {}
    shots: dict[tuple[object, ...], Shot] = {}
    for folder, index, shown in indices:
        boxed = index.kind == "boxes"
        key = (tuple(index.classes), tuple(index.colours), boxed)
        gallery = merged.setdefault(key, Gallery(index.classes, index.colours, [], boxed))
        palette = palette_of(index.colours)
        for image in index.images:
            known = [model for model in image.models if model in shown]
            if not known:
                continue
            place = (key, image.domain, image.name)
            truth = None if image.label is None or boxed else ids_of(path_inside(folder, image.label))
            if place not in shots:
                label = None if truth is None else _label_picture(truth, palette, width)
                if boxed and image.label is not None:
                    label = _photo(path_inside(folder, image.label), width)
                shots[place] = Shot(image.domain, image.name, _photo(path_inside(folder, image.input), width), label)
                gallery.shots.append(shots[place])
            present = {answer.model for answer in shots[place].answers}
            for model in known:
                if shown[model] not in present:
                    paths = image.models[model]
                    if boxed:
                        drawn = _photo(path_inside(folder, paths.prediction), width)
                        shots[place].answers.append(ModelAnswer(shown[model], drawn, None, None))
                        continue
                    guess = ids_of(path_inside(folder, paths.prediction))
                    shots[place].answers.append(
                        ModelAnswer(
                            model=shown[model],
                            prediction=_label_picture(guess, palette, width),
                            entropy=_entropy_picture(path_inside(folder, paths.entropy), width)
                            if paths.entropy
                            else None,
                            accuracy=_accuracy(truth, guess, len(index.classes)),
                            errors=_errors(truth, guess, len(index.classes), width),
                            ids=guess,
                        )
                    )
    for gallery in merged.values():
        # what the method is for comes first
        gallery.shots.sort(key=lambda shot: shot.domain != "target")
        for shot in gallery.shots:
            _compare(shot, baselines or {}, palette_of(gallery.colours), width)
    return [gallery for gallery in merged.values() if gallery.shots]


def figure(path: Path) -> Picture:
    """A ready-made figure (a stage's ``figure.png``), reduced to twice the usual width."""
    return _photo(path, 2 * _WIDTH)


def figure_of_width(path: Path, width: int) -> Picture:
    """A ready-made picture, at most ``width`` pixels wide."""
    return _photo(path, width)


def path_inside(folder: Path, relative: str) -> Path:
    """The path of a picture that an index names; a UserError where it lies outside the folder."""
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UserError(
            f"{folder / 'index.json'}: picture {relative!r} lies outside the pictures folder; evaluate again"
        )
    return path


def opened(path: Path) -> Image.Image:
    """A picture read into memory; a UserError names the file that cannot be read."""
    try:
        with images.opened(path) as picture:
            copy: Image.Image = picture.copy()
            return copy
    except UserError as error:
        raise UserError(f"cannot read the picture {path}: {error}; evaluate again to write it anew") from error


def _reduced(picture: Image.Image, width: int, how: Image.Resampling) -> Image.Image:
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), how)


def embedded(picture: Image.Image, kind: str, **options: object) -> Picture:
    """The picture as a data URI of the given kind (PNG or JPEG)."""
    stream = io.BytesIO()
    picture.save(stream, format=kind, optimize=True, **options)
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind.lower()};base64,{content}", picture.width, picture.height)


def _photo(path: Path, width: int) -> Picture:
    picture = _reduced(opened(path).convert("RGB"), width, Image.Resampling.LANCZOS)
    return embedded(picture, "JPEG", quality=82)


def ids_of(path: Path) -> NDArray[np.uint8]:
    """Train ids of a label or prediction picture: a palette or greyscale PNG holds them as they are."""
    picture = opened(path)
    if picture.mode not in ("P", "L"):
        raise UserError(f"{path} should be an 8-bit PNG of train ids but its mode is {picture.mode}; evaluate again")
    return np.asarray(picture, dtype=np.uint8)


def palette_of(colours: Sequence[tuple[int, int, int]]) -> list[int]:
    """A Pillow palette: the classes' colours, then black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colours)] = np.array(colours, dtype=np.uint8).reshape(-1, 3)
    return [int(value) for value in table.reshape(-1)]


def _label_picture(ids: NDArray[np.uint8], palette: list[int], width: int) -> Picture:
    picture = Image.fromarray(ids)
    picture = _reduced(picture, width, Image.Resampling.NEAREST)
    picture.putpalette(palette)
    return embedded(picture, "PNG")


_CLEAR, _WRONG = 253, 252


def _compare(shot: Shot, baselines: Mapping[str, str], palette: list[int], width: int) -> None:
    by_name = {answer.model: answer for answer in shot.answers}
    for answer in shot.answers:
        base = by_name.get(baselines.get(answer.model, ""))
        if base is None or base is answer or base.ids is None or answer.ids is None:
            continue
        if base.ids.shape == answer.ids.shape:
            same = base.ids == answer.ids
            answer.changed = float(1 - same.mean())
            answer.difference = _seen_through(np.where(same, np.uint8(_CLEAR), answer.ids), palette, width)


def _errors(truth: NDArray[np.uint8] | None, guess: NDArray[np.uint8], classes: int, width: int) -> Picture | None:
    if truth is None or truth.shape != guess.shape:
        return None
    wrong = np.where((truth < classes) & (truth != guess), np.uint8(_WRONG), np.uint8(_CLEAR))
    palette = palette_of([])
    palette[3 * _WRONG : 3 * _WRONG + 3] = [255, 84, 26]
    return _seen_through(wrong, palette, width)


def _seen_through(ids: NDArray[np.uint8], palette: list[int], width: int) -> Picture:
    """Ids in colour, transparent where they are ``_CLEAR``."""
    picture = _reduced(Image.fromarray(ids), width, Image.Resampling.NEAREST)
    picture.putpalette(palette)
    return embedded(picture, "PNG", transparency=_CLEAR)


def _entropy_picture(path: Path, width: int) -> Picture:
    values = np.asarray(_reduced(opened(path).convert("L"), width, Image.Resampling.BILINEAR))
    return embedded(Image.fromarray(entropy_colours()[values]), "JPEG", quality=80)


def _accuracy(truth: NDArray[np.uint8] | None, guess: NDArray[np.uint8], classes: int) -> float | None:
    if truth is None or truth.shape != guess.shape:
        return None
    scored = truth < classes
    return float((truth[scored] == guess[scored]).mean()) if scored.any() else None
