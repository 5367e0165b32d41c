"""Predictions for images that belong to no data set, sorted by kind: class ids, colours, overlays, how sure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from acclimate.data.class_spaces import cityscapes_label_ids
from acclimate.data.readers.cityscapes import IMAGE_END
from acclimate.errors import unknown
from acclimate.evaluation.footage import footage_of
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.evaluation.inputs import Input
from acclimate.evaluation.model import ImagePrediction, LabelledImage, Model
from acclimate.evaluation.pictures import save_picture
from acclimate.io.files import write_json
from acclimate.io.progress import progress
from acclimate.io.video import Frame, Frames, written_video
from acclimate.labels import VOID
from acclimate.report.colour import entropy_colours
from acclimate.report.legend import legend
from acclimate.training.team import ALONE, Team

KINDS = {
    "ids": "class ids, 8 bits, with the classes' colours as palette",
    "colours": "every pixel in its class's colour",
    "overlay": "the colours over the picture",
    "confidence": "probability of the class named, grey value / 255",
    "entropy": "how unsure, from dark (sure) to pale yellow (all classes alike)",
}
"""Every kind of result, which is a folder, and what is in it."""
_UNSURENESS = ("confidence", "entropy")
LABEL_FORMATS = ("train-ids", "cityscapes")
"""``cityscapes``: what the official evaluation and its server read."""


@dataclass(frozen=True)
class Wanted:
    """What is written of each picture.

    Attributes:
        kinds: of :data:`KINDS`, beside ``ids``.
        label_format: of :data:`LABEL_FORMATS`.
        frames: of videos, pictures of every frame instead of videos.
        seconds: of videos and cameras, how much; None: all, until interrupted.
        batch: pictures of one size that the network sees at once.
        inference: how it is asked.

    Raises:
        UserError: there is no such format.
    """

    kinds: Sequence[str] = ()
    label_format: str = "train-ids"
    frames: bool = False
    seconds: float | None = None
    batch: int = 1
    inference: Inference = ONCE

    def __post_init__(self) -> None:
        if self.label_format not in LABEL_FORMATS:
            raise unknown("format of label maps", self.label_format, LABEL_FORMATS)

    def of_videos(self) -> list[str]:
        """The kinds that are written as videos: ids would not survive, and something must be there."""
        return [kind for kind in KINDS if kind in self.kinds and kind != "ids"] or ["overlay"]


def predict_inputs(
    model: Model, inputs: Sequence[Input], *, output: Path, wanted: Wanted, team: Team = ALONE
) -> Iterator[Path]:
    """Writes ``KIND/NAME.png`` (``overlay/NAME.jpg``) for every picture at its size, a video for every video.

    With ``label_format="cityscapes"``, ids are ``ids/CITY_SEQUENCE_FRAME_pred_labelIds.png``: an 8-bit greyscale
    picture of label ids, as the official evaluation pairs with its ground truth. ``legend.png`` and ``legend.json`` say
    what ids and colours mean.

    Args:
        model: on its device.
        inputs: see :func:`acclimate.evaluation.inputs.inputs_named`, which also claims ``output``.
        output: the folder to write to.
        wanted: what is written.
        team: who shares pictures and videos; what is written does not depend on it.

    Yields:
        The path of each label map, or video, that this process wrote.

    Raises:
        UserError: the format does not fit the classes, or a picture or video cannot be read.
    """
    label_ids = None
    if wanted.label_format == "cityscapes":
        label_ids = np.array(cityscapes_label_ids(model.space), dtype=np.uint8)
    if team.first:
        _write_legend(model, output, label_ids)
    pictures = [each for each in inputs if each.is_picture]
    # blocks, so that which pictures the network sees together does not depend on who sees them
    blocks = [pictures[first : first + wanted.batch] for first in range(0, len(pictures), wanted.batch)]
    if pictures:
        with progress("predict", len(pictures), silent=not team.first) as bar:
            for block in team.handed_out(blocks, bar, size=len):
                places = (each.place for each in block if isinstance(each.place, Path))
                for one, found in zip(block, _predictions(model, places, wanted), strict=True):
                    yield _write_pictures(output, one.name, found, wanted, label_ids)
                    bar.advance(note=one.name)
    for one in team.handed_out([each for each in inputs if not each.is_picture]):
        yield from _predict_video(model, one, output, wanted, label_ids)


def _predictions(model: Model, images: Any, wanted: Wanted) -> Iterator[LabelledImage]:
    unsure = any(kind in wanted.kinds for kind in _UNSURENESS)
    stream = model.stream if unsure else model.stream_labels
    return stream(images, inference=wanted.inference, batch=wanted.batch)


def _predict_video(
    model: Model, one: Input, output: Path, wanted: Wanted, label_ids: NDArray[np.uint8] | None
) -> Iterator[Path]:
    """A video, or a camera until it is enough or the user interrupts."""
    with footage_of(one, seconds=wanted.seconds) as footage, ExitStack() as stack:
        kinds = [] if wanted.frames else wanted.of_videos()
        paths = [output / kind / f"{one.name}.mp4" for kind in kinds]
        writers = [stack.enter_context(written_video(path, rate=footage.frames.rate)) for path in paths]
        waiting: deque[Frame] = deque()
        shown = Wanted(kinds, wanted.label_format, batch=wanted.batch, inference=wanted.inference)
        for found in _predictions(model, _taken(footage.frames, waiting), wanted if wanted.frames else shown):
            frame = waiting.popleft()
            if wanted.frames:
                name = f"{one.name}/{footage.predicted + 1:06d}"
                yield _write_pictures(output, name, found, wanted, label_ids)
            for kind, writer in zip(kinds, writers, strict=True):
                writer.add(_rgb(drawn(found, kind)), seconds=frame.seconds)
            if not footage.goes_on():
                break
        footage.expect_frames()
    yield from paths


def _taken(frames: Frames, waiting: deque[Frame]) -> Iterator[NDArray[np.uint8]]:
    """The images of frames, which are kept in ``waiting`` until they are predicted."""
    for frame in frames:
        waiting.append(frame)
        yield frame.image


def _write_pictures(
    output: Path, name: str, found: LabelledImage, wanted: Wanted, label_ids: NDArray[np.uint8] | None
) -> Path:
    """One picture per kind; the path of the label map."""
    for kind in wanted.kinds:
        if kind != "ids":
            save_picture(output / kind / f"{name}.{'jpg' if kind == 'overlay' else 'png'}", drawn(found, kind))
    if label_ids is not None:
        ids = output / "ids" / f"{name.removesuffix(IMAGE_END)}_pred_labelIds.png"
        save_picture(ids, PILImage.fromarray(label_ids[found.labels]))
    else:
        ids = output / "ids" / f"{name}.png"
        save_picture(ids, drawn(found, "ids"))
    return ids


def drawn(found: LabelledImage, kind: str) -> PILImage.Image:
    """A prediction as one of :data:`KINDS`."""
    if kind == "ids":
        ids = PILImage.fromarray(found.labels).convert("L")
        ids.putpalette(found.space.palette().flatten().tolist())
        return ids
    if kind == "colours":
        return PILImage.fromarray(found.coloured())
    if kind == "overlay":
        return PILImage.fromarray(found.overlay())
    assert isinstance(found, ImagePrediction)
    levels = ((found.entropy if kind == "entropy" else found.confidence) * 255).round().astype(np.uint8)
    return PILImage.fromarray(entropy_colours()[levels] if kind == "entropy" else levels)


def _rgb(picture: PILImage.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"))


def _write_legend(model: Model, output: Path, label_ids: NDArray[np.uint8] | None) -> None:
    space = model.space
    ids = list(range(len(space))) if label_ids is None else label_ids.tolist()
    classes = [
        {"id": number, "name": name, "colour": list(colour)}
        for number, name, colour in zip(ids, space.classes, space.colours, strict=True)
    ]
    content = {"model": str(model.path), "class_space": space.name, "classes": classes, "void": VOID, "folders": KINDS}
    write_json(output / "legend.json", content)
    rows = [(f"{entry['id']}  {entry['name']}", colour) for entry, colour in zip(classes, space.colours, strict=True)]
    save_picture(output / "legend.png", legend(rows))
