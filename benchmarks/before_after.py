"""Draws frames of a target before and after adaptation: the photo, what each model says of it, its labels, a legend.

    python benchmarks/before_after.py runs/adapt/2-source-only runs/adapt/3-adapted --data folder:scored -o hero.png

A column for each model, with its name; frames are the first of the split, or those at ``--frames 0,7``.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import acclimate
from acclimate.data.class_space import ClassSpace
from acclimate.io.files import write_bytes
from scripts import run_script

Picture = NDArray[np.uint8]
GAP, LINE = 8, 26
INK = (29, 39, 38)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="folders of stages, or checkpoints")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--frames", default="0,1,2")
    parser.add_argument("--width", type=int, default=420, help="of one picture, in pixels")
    parser.add_argument("--names", nargs="+", help="of the models; their folders' unless given")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    models = [acclimate.load(path / "model.safetensors" if path.is_dir() else path) for path in arguments.models]
    space = models[0].card.space()
    data = acclimate.open_dataset(arguments.data, split=arguments.split, class_space=space)
    names = arguments.names or [
        (path if path.is_dir() else path.parent).name.partition("-")[2] for path in arguments.models
    ]
    rows = []
    for index in map(int, arguments.frames.split(",")):
        photo = data.image(index)
        drawn = [photo, *(model.predict(photo).coloured() for model in models)]
        labels = data.label(index)
        rows.append([*drawn, space.palette()[labels]] if labels is not None else drawn)
    titles = ["target, not labelled", *names, "labels, for scoring alone"][: len(rows[0])]
    picture = sheet(rows, titles, space=space, width=arguments.width)
    content = io.BytesIO()
    picture.save(content, "png", optimize=True)
    write_bytes(arguments.output, content.getvalue())


def sheet(rows: Sequence[Sequence[Picture]], titles: Sequence[str], *, space: ClassSpace, width: int) -> Image.Image:
    """All pictures in columns under their titles, and the colours of the classes below."""
    height = round(rows[0][0].shape[0] * width / rows[0][0].shape[1])
    font = ImageFont.load_default(17)
    entries = legend_lines(space, font, limit=len(titles) * (width + GAP) - GAP)
    size = (len(titles) * (width + GAP) - GAP, LINE + len(rows) * (height + GAP) + len(entries) * LINE)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for column, title in enumerate(titles):
        left = column * (width + GAP)
        pen.text((left, 2), title, fill=INK, font=font)
        for number, row in enumerate(rows):
            resample = Image.Resampling.BICUBIC if column == 0 else Image.Resampling.NEAREST
            scaled = Image.fromarray(row[column]).resize((width, height), resample)
            picture.paste(scaled, (left, LINE + number * (height + GAP)))
    for number, line in enumerate(entries):
        top = size[1] - (len(entries) - number) * LINE
        for left, name, colour in line:
            pen.rectangle((left, top + 5, left + 16, top + 20), fill=colour)
            pen.text((left + 22, top + 2), name, fill=INK, font=font)
    return picture


def legend_lines(
    space: ClassSpace, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, *, limit: int
) -> list[list[tuple[int, str, tuple[int, int, int]]]]:
    """Lines of (left, name, colour) no longer than the limit."""
    lines: list[list[tuple[int, str, tuple[int, int, int]]]] = [[]]
    left = 0
    for name, colour in zip(space.classes, space.colours, strict=True):
        length = 22 + round(font.getlength(name)) + 22
        if left + length > limit and lines[-1]:
            lines.append([])
            left = 0
        lines[-1].append((left, name, colour))
        left += length
    return lines


if __name__ == "__main__":
    run_script(main)
