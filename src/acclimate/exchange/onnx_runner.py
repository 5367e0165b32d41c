"""Runs an exported model with numpy, Pillow and onnxruntime alone: python model.py PICTURE... [-o FOLDER]

Beside model.onnx, from which everything else is read: classes, colours, the size of the pictures it was trained on.
In Python: ``labels = Model("model.onnx")(frame)`` gives (height, width) class numbers of an RGB frame.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Model:
    """An exported segmentation network; ``card`` holds its classes and colours."""

    def __init__(self, path: str | Path, providers: tuple[str, ...] = ("CPUExecutionProvider",)) -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=list(providers))
        self.card = json.loads(self.session.get_modelmeta().custom_metadata_map["acclimate"])

    def __call__(self, frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """(height, width) uint8 class numbers of an RGB frame, (height, width, 3) uint8."""
        height, width = frame.shape[:2]
        seen = frame
        if self.card["input_size"] is not None and tuple(self.card["input_size"]) != (width, height):
            seen = np.asarray(Image.fromarray(frame).resize(self.card["input_size"], Image.Resampling.BICUBIC))
        images = seen.transpose(2, 0, 1)[None].astype(np.float32) / 255
        (logits,) = self.session.run(["logits"], {"images": images})
        return labels_of(logits[0], height, width)

    def coloured(self, labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """(height, width, 3) RGB: every pixel in its class's colour."""
        picture: np.ndarray[Any, Any] = np.array(self.card["colours"], dtype=np.uint8)[labels]
        return picture


def labels_of(logits: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    """The largest of (classes, h, w) logits at every pixel of the picture, enlarged bilinearly with aligned corners."""
    rows, columns = weights(logits.shape[1], height), weights(logits.shape[2], width)
    best = np.full((height, width), -np.inf, dtype=np.float32)
    labels = np.zeros((height, width), dtype=np.uint8)
    for number, plane in enumerate(logits):  # one class at a time: all of them would fill the memory
        enlarged = rows @ plane @ columns.T
        better = enlarged > best
        best[better], labels[better] = enlarged[better], number
    return labels


def weights(few: int, many: int) -> np.ndarray[Any, Any]:
    """(many, few): how much of each value there is in each of the enlarged ones."""
    places = np.linspace(0, few - 1, many)
    first = np.minimum(places.astype(int), max(0, few - 2))
    share = (places - first).astype(np.float32)
    matrix = np.zeros((many, few), dtype=np.float32)
    matrix[np.arange(many), first] = 1 - share
    matrix[np.arange(many), np.minimum(first + 1, few - 1)] += share
    return matrix


def main(words: list[str]) -> None:
    """Writes NAME-labels.png, class numbers with the classes' colours as palette, for every picture."""
    folder = Path(words.pop(words.index("-o") + 1)) if "-o" in words else Path()
    pictures = [Path(word) for word in words if word != "-o"]
    if not pictures:
        sys.exit(__doc__)
    folder.mkdir(parents=True, exist_ok=True)
    model = Model(Path(__file__).with_suffix(".onnx"))
    for path in pictures:
        with Image.open(path) as picture:
            labels = model(np.asarray(ImageOps.exif_transpose(picture).convert("RGB")))
        written = Image.fromarray(labels)
        written.putpalette(np.array(model.card["colours"], dtype=np.uint8).flatten().tolist())
        written.save(folder / f"{path.stem}-labels.png")
        seen = ", ".join(model.card["classes"][number] for number in np.unique(labels))
        print(f"{folder / path.stem}-labels.png: {seen}")


if __name__ == "__main__":
    main(sys.argv[1:])
