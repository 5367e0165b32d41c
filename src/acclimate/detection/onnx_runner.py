"""Runs an exported model with numpy, Pillow and onnxruntime alone: python model.py PICTURE... [-o FOLDER]

Beside model.onnx, from which everything else is read: classes, colours, the size of the pictures it was trained on.
In Python: ``boxes, scores, classes = Model("model.onnx")(frame)`` of an RGB frame.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

Array = np.ndarray[Any, Any]
SHOWN_SCORE = 0.5


class Model:
    """An exported detector; ``card`` holds its classes and colours."""

    def __init__(self, path: str | Path, providers: tuple[str, ...] = ("CPUExecutionProvider",)) -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=list(providers))
        self.card = json.loads(self.session.get_modelmeta().custom_metadata_map["acclimate"])

    def __call__(self, frame: Array) -> tuple[Array, Array, Array]:
        """What is found in an RGB frame (height, width, 3) uint8, most certain first.

        Boxes (N, 4), x0, y0, x1, y1 in pixels of the frame; scores (N,) from 0 to 1; classes (N,), numbers of
        ``card["classes"]``.
        """
        height, width = frame.shape[:2]
        size = tuple(self.card["input_size"])
        seen = frame
        if size != (width, height):
            seen = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
        images = seen.transpose(2, 0, 1)[None].astype(np.float32) / 255
        boxes, scores, classes = self.session.run(["boxes", "scores", "classes"], {"images": images})
        return boxes * np.array([width / size[0], height / size[1]] * 2, dtype=np.float32), scores, classes

    def drawn(self, frame: Array, boxes: Array, scores: Array, classes: Array) -> Image.Image:
        """The frame with its boxes, and the names and scores of what is in them."""
        picture = Image.fromarray(frame)
        draw = ImageDraw.Draw(picture)
        for box, score, number in zip(boxes.tolist(), scores.tolist(), classes.tolist(), strict=True):
            colour = tuple(self.card["colours"][number])
            draw.rectangle(box, outline=colour, width=max(1, picture.width // 300))
            draw.text((box[0] + 3, box[1] + 2), f"{self.card['classes'][number]} {score:.2f}", fill=colour)
        return picture


def main(words: list[str]) -> None:
    """Writes NAME-boxes.jpg with the boxes above 0.5, and all of them as NAME.json, for every picture."""
    folder = Path(words.pop(words.index("-o") + 1)) if "-o" in words else Path()
    pictures = [Path(word) for word in words if word != "-o"]
    if not pictures:
        sys.exit(__doc__)
    folder.mkdir(parents=True, exist_ok=True)
    model = Model(Path(__file__).with_suffix(".onnx"))
    for path in pictures:
        with Image.open(path) as picture:
            frame = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        boxes, scores, classes = model(frame)
        shown = scores > SHOWN_SCORE
        model.drawn(frame, boxes[shown], scores[shown], classes[shown]).save(folder / f"{path.stem}-boxes.jpg")
        content = [
            {"class": model.card["classes"][number], "score": round(score, 4), "box": [round(side, 1) for side in box]}
            for box, score, number in zip(boxes.tolist(), scores.tolist(), classes.tolist(), strict=True)
        ]
        (folder / f"{path.stem}.json").write_text(json.dumps({"image": path.name, "detections": content}))
        print(f"{folder / path.stem}-boxes.jpg: {int(shown.sum())} boxes of {len(scores)}")


if __name__ == "__main__":
    main(sys.argv[1:])
