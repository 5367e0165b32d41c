"""Detections in pictures, videos and cameras that belong to no data set: drawn, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as PILImage

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.files import read_image
from acclimate.data.sample import Image
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.detector import Detection, Detector
from acclimate.detection.drawing import SHOWN_SCORE, drawn
from acclimate.detection.evaluate import detected
from acclimate.evaluation.footage import footage_of
from acclimate.evaluation.inputs import Input
from acclimate.evaluation.pictures import save_picture
from acclimate.io.files import atomic, write_json
from acclimate.io.progress import progress
from acclimate.io.video import written_video
from acclimate.training.team import ALONE, Team


class _Finder(NamedTuple):
    """A detector with all that it is asked and shown with."""

    detector: Detector
    space: ClassSpace
    size: tuple[int, int]
    device: str
    score: float

    def __call__(self, image: Image) -> Detection:
        return detected(self.detector, image, size=self.size, device=self.device)

    def entries(self, found: Detection) -> list[dict[str, Any]]:
        """All detections as they are written."""
        values = zip(found.boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True)
        return [
            {
                "class": self.space.classes[place],
                "score": round(score, 4),
                "box": [round(value, 1) for value in box],
            }
            for box, place, score in values
        ]

    def drawn(self, image: Image, found: Detection) -> PILImage.Image:
        """The image with the boxes whose score is large enough."""
        shown = found.scores > self.score
        boxes, classes, scores = (
            found.boxes[shown].tolist(),
            found.classes[shown].tolist(),
            found.scores[shown].tolist(),
        )
        return drawn(image, boxes, classes, self.space, scores=scores)


def predict_boxes(
    checkpoint: Path,
    inputs: Sequence[Input],
    *,
    output: Path,
    device: str,
    score: float | None = None,
    frames: bool = False,
    seconds: float | None = None,
    team: Team = ALONE,
) -> Iterator[Path]:
    """Writes ``NAME-boxes.jpg`` and ``NAME.json`` for every picture, ``NAME-boxes.mp4`` and ``NAME.jsonl`` for videos.

    A line of the latter is a frame. All detections are written; those above ``score`` are drawn.

    Args:
        checkpoint: of a detector.
        inputs: see :func:`acclimate.evaluation.inputs.inputs_named`, which also claims ``output``.
        output: the folder to write to.
        device: where to compute.
        score: None: :data:`acclimate.detection.drawing.SHOWN_SCORE`.
        frames: of videos, a picture and a JSON of every frame instead.
        seconds: of videos and cameras, how much; None: all, until interrupted.
        team: who shares pictures and videos; what is written does not depend on it.

    Yields:
        The path of each picture or video that this process wrote.

    Raises:
        UserError: a picture or video cannot be read.
    """
    detector, card = load_detector(checkpoint, device=device)
    finder = _Finder(detector, card.space(), card.input_size, device, SHOWN_SCORE if score is None else score)
    pictures = [(one.place, one.name) for one in inputs if one.is_picture and isinstance(one.place, Path)]
    if pictures:
        with progress("predict", len(pictures), silent=not team.first) as bar:
            for path, name in team.handed_out(pictures, bar):
                image = read_image(path)
                yield _write_picture(finder, image, output / name, {"image": path.name})
                bar.advance(note=name)
    for one in team.handed_out([each for each in inputs if not each.is_picture]):
        yield from _predict_video(finder, one, output, frames=frames, seconds=seconds)


def _write_picture(finder: _Finder, image: Image, base: Path, of: dict[str, Any]) -> Path:
    found = finder(image)
    write_json(base.with_name(f"{base.name}.json"), {**of, "detections": finder.entries(found)})
    written = base.with_name(f"{base.name}-boxes.jpg")
    save_picture(written, finder.drawn(image, found))
    return written


def _predict_video(finder: _Finder, one: Input, output: Path, *, frames: bool, seconds: float | None) -> Iterator[Path]:
    """A video, or a camera until it is enough or the user interrupts."""
    video = output / f"{one.name}-boxes.mp4"
    with footage_of(one, seconds=seconds) as footage, ExitStack() as stack:
        if not frames:
            writer = stack.enter_context(written_video(video, rate=footage.frames.rate))
            lines = stack.enter_context(
                stack.enter_context(atomic(output / f"{one.name}.jsonl")).open("w", encoding="utf-8")
            )
        for number, frame in enumerate(footage.frames, start=1):
            of = {"frame": number, "seconds": round(frame.seconds, 4)}
            if frames:
                yield _write_picture(finder, frame.image, output / one.name / f"{number:06d}", of)
            else:
                found = finder(frame.image)
                lines.write(json.dumps({**of, "detections": finder.entries(found)}) + "\n")
                writer.add(np.asarray(finder.drawn(frame.image, found)), seconds=frame.seconds)
            if not footage.goes_on():
                break
        footage.expect_frames()
    if not frames:
        yield video
